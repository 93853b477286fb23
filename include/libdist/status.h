/* Status codes and the sentence of the last error.
 *
 * Every call returns a dist_status: 0 done, > 0 in progress, < 0 an error. When it is an error,
 * dist_last_error() gives a sentence that says what was wrong and what to do:
 *
 *     if (dist_init(&context, NULL) < 0) {
 *         fprintf(stderr, "%s\n", dist_last_error());
 *         return 1;
 *     }
 */
#ifndef LIBDIST_STATUS_H
#define LIBDIST_STATUS_H

#if defined(__GNUC__)
#define DIST_API __attribute__((visibility("default")))
#else
#define DIST_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* One list, from which the enum and its texts are made. Values never change once released. */
#define DIST_STATUS_LIST(X)                                                                                  \
    X(DIST_OK, 0, "done")                                                                                    \
    X(DIST_IN_PROGRESS, 1, "in progress")                                                                    \
    X(DIST_ERR_ARGUMENT, -1, "invalid argument")                                                             \
    X(DIST_ERR_MEMORY, -2, "out of memory")                                                                  \
    X(DIST_ERR_STATE, -3, "call not allowed in this state")                                                  \
    X(DIST_ERR_UNSUPPORTED, -4, "not supported")                                                             \
    X(DIST_ERR_CONFIG, -5, "invalid configuration")                                                          \
    X(DIST_ERR_IO, -6, "input or output failed")                                                             \
    X(DIST_ERR_MISMATCH, -7, "ranks disagree")                                                               \
    X(DIST_ERR_TIMEOUT, -8, "deadline passed")                                                               \
    X(DIST_ERR_MPI, -9, "MPI call failed")                                                                   \
    X(DIST_ERR_SYSTEM, -10, "system call failed")                                                            \
    X(DIST_ERR_FRAME, -11, "malformed encoded data")                                                         \
    X(DIST_ERR_PLAN, -12, "plan does not verify")                                                            \
    X(DIST_ERR_CUDA, -13, "CUDA call failed")                                                                \
    X(DIST_ERR_NCCL, -14, "NCCL call failed")

typedef enum dist_status {
#define DIST_STATUS_ENUM(name, value, text) name = value,
    DIST_STATUS_LIST(DIST_STATUS_ENUM)
#undef DIST_STATUS_ENUM
} dist_status;

/* The name of a status as it is spelled in C ("DIST_ERR_TIMEOUT"); "unknown status" for any other number.
 * Never NULL. */
DIST_API const char *dist_status_name(dist_status status);

/* A few words for a status ("deadline passed"). Never NULL. */
DIST_API const char *dist_status_text(dist_status status);

/* The sentence of the last error that a libdist call returned on the calling thread, or "" before the first.
 * It stays valid until the next failing call on this thread. Successful calls leave it alone. */
DIST_API const char *dist_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
