#include "textflag.h"

// func getrlimit(l *[2]uint64)
TEXT ·getrlimit(SB), NOSPLIT, $0-8
	MOVD l+0(FP), R1
	MOVD $7, R0    // RLIMIT_NOFILE
	MOVD $163, R8  // SYS_getrlimit
	SVC
	RET
