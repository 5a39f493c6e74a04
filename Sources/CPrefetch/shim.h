#pragma once

/* Swift has no way to say this: bring the cache line in, wait for nothing, and never fault. */
static inline __attribute__((always_inline)) void pine_prefetch(const void *address) {
    __builtin_prefetch(address, 0, 3);
}
