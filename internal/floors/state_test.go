package floors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// allowedState are the package-level variables that are more than a constant
// table or an error, each with its reason.
var allowedState = map[string]string{
	"cmd/supervise/main.go version":  "set by the linker",
	"internal/otpdiff/otp.go runner": "embedded by the compiler",
	"proc/cbor/cbor.go modes":        "the rules of the encoding, compiled once by the library and never changed",
	"proc/start.go own":              "a process has one channel to its supervisor, which every call without a server uses",
}

// A package-level variable is shared by everything in the process, and nobody
// owns it. Tables that nothing assigns to, and errors, are the exceptions that
// the language forces.
func TestNoPackageHasMutableState(t *testing.T) {
	packages := make(map[string][]*ast.File)
	names := make(map[*ast.File]string)
	root := "../.."
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		if err != nil || d.IsDir() && (d.Name() == ".git" || rel == "examples" || rel == "bench" || rel == "configs") {
			if d != nil && d.IsDir() && err == nil {
				return filepath.SkipDir
			}
			return err
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, nil, 0)
		if err == nil {
			packages[filepath.Dir(p)] = append(packages[filepath.Dir(p)], file)
			names[file] = rel
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range packages {
		written := assigned(files)
		for _, file := range files {
			for _, name := range variables(file, written) {
				if allowedState[names[file]+" "+name] == "" {
					t.Errorf("%s: package-level variable %s: give it an owner, or make it a table that nothing assigns to", names[file], name)
				}
			}
		}
	}
}

// variables names the package-level variables of a file that can change.
func variables(file *ast.File, written map[string]bool) (names []string) {
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			for i, name := range v.Names {
				fixed := i < len(v.Values) && constant(v.Values[i]) && !written[name.Name]
				if name.Name != "_" && !fixed {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// constant says whether a value is a table, an error or a compiled pattern.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit:
		return true
	case *ast.CallExpr:
		switch f := e.Fun.(type) {
		case *ast.SelectorExpr:
			return f.Sel.Name == "New" || f.Sel.Name == "Errorf" || f.Sel.Name == "MustCompile" || f.Sel.Name == "Make"
		case *ast.ArrayType:
			return true
		case *ast.Ident:
			return f.Name != "make" && f.Name != "new"
		case *ast.IndexExpr:
			return true
		}
	}
	return false
}

// assigned names everything that a package assigns to, whole or in part.
func assigned(files []*ast.File) map[string]bool {
	names := make(map[string]bool)
	add := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
			case *ast.SelectorExpr:
				return // a field has an owner
			case *ast.Ident:
				names[x.Name] = true // or a local of that name: then one of them is to be renamed
				return
			default:
				return
			}
		}
	}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						add(e)
					}
				}
			case *ast.IncDecStmt:
				add(n.X)
			}
			return true
		})
	}
	return names
}
