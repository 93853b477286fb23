/* The one way to report a failure: leave a sentence for dist_last_error() and return its status. */
#ifndef DIST_BASE_ERROR_H
#define DIST_BASE_ERROR_H

#include <libdist/status.h>

#define DIST_ERROR_MAX 1024

/* Stores the formatted sentence as the calling thread's last error and returns `status`. */
dist_status dist_fail(dist_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Hands an error on: returns from the enclosing function when `call` is not DIST_OK. */
#define DIST_TRY(call)                                                                                       \
    do {                                                                                                     \
        dist_status dist_try_status = (call);                                                                \
        if (dist_try_status < 0)                                                                             \
            return dist_try_status;                                                                          \
    } while (0)

#endif
