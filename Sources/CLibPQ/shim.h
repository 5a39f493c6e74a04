#include <libpq-fe.h>
// Not in Swift's Glibc module; the log's threads wait on libpq's socket and on an eventfd together.
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <linux/sockios.h>

/// Names the calling thread, in at most 15 bytes. (Variadic C functions such as prctl are out of Swift's reach.)
static inline void pine_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/// How many bytes written to a socket its peer has not acknowledged; 0 where the kernel can't tell. (ioctl is variadic, too.)
static inline int pine_unacknowledged_bytes(int socket) {
    int count = 0;
    return ioctl(socket, SIOCOUTQ, &count) == 0 && count > 0 ? count : 0;
}
