// The external program of an Erlang port with {packet,4}, written to be fast:
// it reads as much as there is, and answers all of it with one write. A packet
// that begins with 'e' is echoed, one with 'n' is counted, and 'c' answers
// with the count, in decimal.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 1 << 20 };
static unsigned char in[SIZE], out[SIZE];

static int put(const unsigned char *b, size_t n) {
	while (n > 0) {
		ssize_t k = write(1, b, n);
		if (k <= 0) return 0;
		b += k, n -= k;
	}
	return 1;
}

int main(void) {
	size_t have = 0;
	unsigned long long notes = 0;
	for (;;) {
		ssize_t k = read(0, in + have, SIZE - have);
		if (k <= 0) return 0;
		have += k;
		size_t at = 0, answer = 0;
		while (have - at >= 4) {
			unsigned char *p = in + at;
			size_t n = (size_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
			if (n == 0 || n > SIZE / 2) return 1;
			if (have - at < 4 + n) break;
			if (p[4] == 'e') {
				memcpy(out + answer, p, 4 + n);
				answer += 4 + n;
			} else if (p[4] == 'n') {
				notes++;
			} else {
				int len = snprintf((char *)out + answer + 4, 32, "%llu", notes);
				memcpy(out + answer, (unsigned char[]){0, 0, 0, len}, 4);
				answer += 4 + len;
			}
			at += 4 + n;
		}
		memmove(in, in + at, have - at);
		have -= at;
		if (answer > 0 && !put(out, answer)) return 1;
	}
}
