/* Preloaded into the program under test: after SYNCS_BEFORE_FAILURE successful syncs every further one fails with EIO, as
   those of a disk do that has lost writes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_long left = 1;

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("SYNCS_BEFORE_FAILURE");
    atomic_store(&left, text ? atol(text) : 0);
}

static int failing(void) {
    if (atomic_fetch_sub(&left, 1) > 0) {
        return 0;
    }
    errno = EIO;
    return 1;
}

static int sync_by(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return failing() ? -1 : real(file);
}

int fsync(int file) { return sync_by("fsync", file); }

int fdatasync(int file) { return sync_by("fdatasync", file); }
