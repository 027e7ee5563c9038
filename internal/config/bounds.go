package config

// The bounds of what the parsers are given. Both recurse into brackets, and
// take a time that grows with the square of a dotted key.
const (
	maxNesting = 64 // brackets and braces within each other
	maxDots    = 64 // dots outside strings on one line
)

// outOfBounds looks for the first place where a text is over the bounds. It
// knows just enough of TOML to see where strings and comments end; on text
// that is no TOML it may stop anywhere, as a parser does.
func outOfBounds(text []byte) (offset int, what string, found bool) {
	nesting, dots := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '#':
			i = skipComment(text, i)
		case '"', '\'':
			i = skipString(text, i)
		case '\n':
			dots = 0
		case '.':
			if dots++; dots > maxDots {
				return i, "more dots on one line than any configuration needs", true
			}
		case '[', '{':
			if nesting++; nesting > maxNesting {
				return i, "arrays and tables are nested deeper than any configuration needs", true
			}
		case ']', '}':
			nesting = max(nesting-1, 0)
		}
	}
	return 0, "", false
}

// skipComment returns the offset of a comment's last byte.
func skipComment(text []byte, i int) int {
	for i+1 < len(text) && text[i+1] != '\n' {
		i++
	}
	return i
}

// skipString returns the offset of a string's last byte.
func skipString(text []byte, i int) int {
	quote := text[i]
	triple := i+2 < len(text) && text[i+1] == quote && text[i+2] == quote
	if triple {
		i += 2
	}
	for i++; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] == '\n' && !triple:
			return i - 1
		case text[i] == quote && !triple:
			return i
		case text[i] == quote && i+2 < len(text) && text[i+1] == quote && text[i+2] == quote:
			return i + 2
		}
	}
	return i
}
