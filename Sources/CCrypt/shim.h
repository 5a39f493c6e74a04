#include <crypt.h>
#include <pthread.h>
#include <string.h>

// What Swift's import of glibc lacks, since glibc has it for GNU sources only.

extern int pthread_setname_np(pthread_t thread, const char *name);

static inline void pine_name_password_thread(void) { pthread_setname_np(pthread_self(), "pine-password"); }
static inline void pine_wipe(void *start, unsigned long count) { explicit_bzero(start, count); }
