#pragma once

#include <grp.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* unistd.h declares it for GNU sources only, which Swift's import of glibc is not. */
extern long syscall(long number, ...);

/* The calling thread's only; glibc's setgroups would change those of all threads. */
static inline int pine_set_groups(size_t count, const gid_t *groups) { return (int)syscall(SYS_setgroups, count, groups); }

/* setfsuid(2) and setfsgid(2) don't say whether they worked: asked with an impossible id, they tell what holds now. */
static inline int pine_set_file_user(uid_t user) {
    setfsuid(user);
    return (uid_t)setfsuid((uid_t)-1) == user;
}

static inline int pine_set_file_group(gid_t group) {
    setfsgid(group);
    return (gid_t)setfsgid((gid_t)-1) == group;
}

/* The kernel takes a process that changes its identity for one that must leave no core; this one comes back to what it was. */
static inline int pine_is_dumpable(void) { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1; }
static inline void pine_be_dumpable(void) { prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); }
