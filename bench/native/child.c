/* child is the workload: a static program without a libc, so that what is
 * measured is the supervisor and not the child's own start.
 *
 *     child [ID]             tell, and sleep for ever; TERM's default action ends it
 *     child ID crash         tell, and exit 1
 *     child ID stdin         tell, and exit 0 when stdin ends (an Erlang port)
 *     child ID daemon FILE   fork away, write the pid to FILE, tell, sleep (monit)
 *
 * ID is the first number in its argument; without one it is the number at the
 * end of the working directory's name (runit, s6, daemontools).
 *
 * To tell is one append of a struct record to REC, a file in shared memory. The
 * first thing that the program does is to read the clock. */
#ifndef REC
#define REC "/dev/shm/supervise-bench/rec"
#endif

typedef unsigned long u64;
typedef unsigned int u32;

struct record { u64 ns; u32 pid, id; };

enum { READ = 0, WRITE = 1, OPEN = 2, CLOSE = 3, PAUSE = 34, GETPID = 39, FORK = 57,
       GETCWD = 79, SETSID = 112, CLOCK_GETTIME = 228, EXIT_GROUP = 231 };

static inline long sys(long n, long a, long b, long c)
{
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}

static u64 now(void)
{
    struct { long s, ns; } t;
    sys(CLOCK_GETTIME, 1 /* MONOTONIC */, (long)&t, 0);
    return t.s * 1000000000ul + t.ns;
}

static int digit(char c) { return c >= '0' && c <= '9'; }

static u32 number(const char *s)
{
    u32 n = 0;
    while (*s && !digit(*s)) s++;
    while (digit(*s)) n = n * 10 + *s++ - '0';
    return n;
}

static u32 number_of_directory(void)
{
    char name[512];
    long n = sys(GETCWD, (long)name, sizeof name, 0);
    if (n < 2) return 0;
    char *end = name + n - 1; /* at the NUL */
    while (end > name && digit(end[-1])) end--;
    return number(end);
}

static void tell(u64 ns, u32 id)
{
    struct record r = { ns, (u32)sys(GETPID, 0, 0, 0), id };
    long fd = sys(OPEN, (long)REC, 02000 | 01 /* O_APPEND|O_WRONLY */, 0);
    if (fd < 0) sys(EXIT_GROUP, 111, 0, 0);
    if (sys(WRITE, fd, (long)&r, sizeof r) != sizeof r) sys(EXIT_GROUP, 112, 0, 0);
    sys(CLOSE, fd, 0, 0);
}

static void fork_away(const char *file)
{
    char text[16];
    int at = sizeof text - 1;
    if (sys(FORK, 0, 0, 0)) sys(EXIT_GROUP, 0, 0, 0);
    sys(SETSID, 0, 0, 0);
    text[at] = '\n';
    for (u32 pid = (u32)sys(GETPID, 0, 0, 0); pid; pid /= 10) text[--at] = '0' + pid % 10;
    long fd = sys(OPEN, (long)file, 01000 | 0100 | 01 /* O_TRUNC|O_CREAT|O_WRONLY */, 0644);
    if (fd >= 0) {
        sys(WRITE, fd, (long)(text + at), sizeof text - at);
        sys(CLOSE, fd, 0, 0);
    }
}

__attribute__((used, noreturn)) void begin(u64 *stack)
{
    u64 started = now();
    int argc = (int)stack[0];
    char **argv = (char **)(stack + 1);
    u32 id = argc > 1 ? number(argv[1]) : number_of_directory();
    char mode = argc > 2 ? argv[2][0] : 0;

    if (mode == 'd') {
        fork_away(argv[3]);
        started = now();
    }
    tell(started, id);
#ifdef CRASH /* for the supervisors that give their children no argument */
    mode = 'c';
#endif
    if (mode == 'c') sys(EXIT_GROUP, 1, 0, 0);
    if (mode == 's') {
        char c[64];
        while (sys(READ, 0, (long)c, sizeof c) > 0) {}
        sys(EXIT_GROUP, 0, 0, 0);
    }
    for (;;) sys(PAUSE, 0, 0, 0);
}

__asm__(".globl _start\n_start: xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call begin\n");
