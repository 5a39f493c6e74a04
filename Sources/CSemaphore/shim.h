#pragma once

#include <semaphore.h>
#include <sys/eventfd.h>
#include <time.h>

/* glibc declares it for GNU sources only, which Swift's import of glibc is not. */
extern int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *deadline);

/* Waits until the semaphore was posted or CLOCK_MONOTONIC has reached the deadline. */
static inline void pine_semaphore_wait(sem_t *semaphore, long seconds, long nanoseconds) {
    struct timespec deadline = {seconds, nanoseconds};
    sem_clockwait(semaphore, CLOCK_MONOTONIC, &deadline);
}
