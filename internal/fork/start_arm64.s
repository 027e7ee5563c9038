#include "textflag.h"

// func start(number, a1, a2, a3, a4, a5 uintptr, first *step) uintptr
TEXT ·start(SB), NOSPLIT, $0-64
	MOVD number+0(FP), R8
	MOVD a1+8(FP), R0
	MOVD a2+16(FP), R1
	MOVD a3+24(FP), R2
	MOVD a4+32(FP), R3
	MOVD a5+40(FP), R4
	MOVD first+48(FP), R19 // the kernel keeps every register but R0
	SVC
	CBZ R0, child
	MOVD R0, ret+56(FP)
	RET

child:
	MOVD 0(R19), R8
	MOVD 8(R19), R0
	MOVD 16(R19), R1
	MOVD 24(R19), R2
	MOVD 32(R19), R3
	MOVD 40(R19), R4
	MOVD 48(R19), R5
	SVC
	MOVD 56(R19), R20
	CMP $1, R20
	BEQ next
	CMN $4095, R0
	BHS fail // unsigned: -4095 to -1
	CMP $2, R20
	BNE next
	MOVD 64(R19), R21
	CMP R21, R0
	BNE strange

next:
	ADD $80, R19
	B child

strange:
	MOVD $-3, R0 // ESRCH

fail:
	NEG R0, R0
	MOVD R0, 72(R19)
	MOVD $127, R0
	MOVD $94, R8 // SYS_exit_group
	SVC
	UNDEF
