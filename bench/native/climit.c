/* climit N CHILD is the limit in C: N children that are started again when they
 * end, by vfork, exec, signalfd and waitpid, and nothing else. TERM asks all of
 * them to stop at once; it ends when they have. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIDS = 4194304 };

extern char **environ;
static char *child;
static sigset_t unblocked;
static int n, alive, stopping;
static pid_t *pids;
static int slot_of[PIDS]; /* pages that no pid falls into are never made */

static void start(int slot)
{
    char id[16];
    snprintf(id, sizeof id, "%d", slot);
    char *argv[] = { child, id, NULL };
    pid_t pid = vfork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &unblocked, NULL);
        execve(child, argv, environ);
        _exit(127);
    }
    if (pid < 0) {
        perror("vfork");
        exit(1);
    }
    pids[slot] = pid;
    slot_of[pid] = slot;
    alive++;
}

static void reap(void)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
        alive--;
        if (!stopping) start(slot_of[pid]);
    }
}

static void stop(void)
{
    if (stopping) return;
    stopping = 1;
    for (int i = 0; i < n; i++) kill(pids[i], SIGTERM);
}

int main(int argc, char **argv)
{
    if (argc < 3) return 64;
    n = atoi(argv[1]);
    child = argv[2];
    pids = calloc(n, sizeof *pids);

    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGCHLD);
    sigaddset(&ours, SIGTERM);
    sigprocmask(SIG_BLOCK, &ours, &unblocked);
    int signals = signalfd(-1, &ours, SFD_CLOEXEC);

    for (int i = 0; i < n; i++) start(i);
    while (!stopping || alive) {
        struct signalfd_siginfo got[8];
        ssize_t size = read(signals, got, sizeof got);
        for (size_t i = 0; i < size / sizeof got[0]; i++)
            if (got[i].ssi_signo == SIGTERM) stop();
        reap();
    }
}
