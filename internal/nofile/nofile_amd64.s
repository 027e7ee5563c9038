#include "textflag.h"

// func getrlimit(l *[2]uint64)
TEXT ·getrlimit(SB), NOSPLIT, $0-8
	MOVQ l+0(FP), SI
	MOVQ $7, DI   // RLIMIT_NOFILE
	MOVQ $97, AX  // SYS_getrlimit
	SYSCALL
	RET
