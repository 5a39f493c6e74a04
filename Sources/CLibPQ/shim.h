#include <libpq-fe.h>
// Not in Swift's Glibc module; the log's threads wait on libpq's socket and on an eventfd together.
#include <sys/eventfd.h>
#include <sys/prctl.h>

/// Names the calling thread, in at most 15 bytes. (Variadic C functions such as prctl are out of Swift's reach.)
static inline void pine_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
