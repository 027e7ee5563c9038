#include "textflag.h"

// func start(number, a1, a2, a3, a4, a5 uintptr, first *step) uintptr
TEXT ·start(SB), NOSPLIT, $0-64
	MOVQ number+0(FP), AX
	MOVQ a1+8(FP), DI
	MOVQ a2+16(FP), SI
	MOVQ a3+24(FP), DX
	MOVQ a4+32(FP), R10
	MOVQ a5+40(FP), R8
	MOVQ first+48(FP), R12 // the kernel keeps every register but AX, CX and R11
	SYSCALL
	TESTQ AX, AX
	JEQ child
	MOVQ AX, ret+56(FP)
	RET

child:
	MOVQ 0(R12), AX
	MOVQ 8(R12), DI
	MOVQ 16(R12), SI
	MOVQ 24(R12), DX
	MOVQ 32(R12), R10
	MOVQ 40(R12), R8
	MOVQ 48(R12), R9
	SYSCALL
	MOVQ 56(R12), BX
	CMPQ BX, $1
	JEQ next
	CMPQ AX, $0xfffffffffffff001
	JCC fail
	CMPQ BX, $2
	JNE next
	CMPQ AX, 64(R12)
	JNE strange

next:
	ADDQ $80, R12
	JMP child

strange:
	MOVQ $-3, AX // ESRCH

fail:
	NEGQ AX
	MOVQ AX, 72(R12)
	MOVQ $127, DI
	MOVQ $231, AX // SYS_exit_group
	SYSCALL
	INT $3
