/* Files as a whole: read at once, and replaced at once. */
#define _XOPEN_SOURCE 700 /* realpath */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text_file.h"

#define NAMES 100 /* tried for the file that is written beside */

static dist_status cannot(dist_status status, const char *verb, const char *what, const char *path)
{
    return dist_fail(status, "cannot %s %s '%.400s': %s", verb, what, path, strerror(errno));
}

/* False: errno says why. A file that shrinks meanwhile is taken as far as it goes. */
static bool read_all(int file, char *text, size_t *bytes)
{
    const size_t wanted = *bytes;
    *bytes = 0;
    while (*bytes < wanted) {
        const ssize_t got = read(file, text + *bytes, wanted - *bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        *bytes += (size_t)got;
    }
    text[*bytes] = '\0';
    return true;
}

static dist_status load(int file, const char *path, const char *what, size_t most, char **text, size_t *bytes)
{
    struct stat about;
    if (fstat(file, &about) != 0)
        return cannot(DIST_ERR_CONFIG, "read", what, path);
    if (!S_ISREG(about.st_mode))
        return dist_fail(DIST_ERR_CONFIG,
                         "cannot read %s '%.400s': it is a folder, a pipe or a device, not a file", what,
                         path);
    if ((uint64_t)about.st_size > most)
        return dist_fail(DIST_ERR_CONFIG, "%s '%.400s' has %lld bytes; it may have %zu: this is another file",
                         what, path, (long long)about.st_size, most);
    *bytes = (size_t)about.st_size;
    *text = malloc(*bytes + 1);
    if (!*text)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the %zu bytes of '%.400s'", *bytes, path);
    if (read_all(file, *text, bytes))
        return DIST_OK;
    const dist_status status = cannot(DIST_ERR_CONFIG, "read", what, path);
    free(*text);
    *text = NULL;
    return status;
}

dist_status dist_text_file_load(const char *path, const char *what, size_t most, char **text, size_t *bytes)
{
    *text = NULL;
    *bytes = 0;
    const int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (file < 0)
        return cannot(DIST_ERR_CONFIG, "read", what, path);
    const dist_status status = load(file, path, what, most, text, bytes);
    close(file);
    return status;
}

/* A new file beside `path`, whose name goes to `beside`; negative: errno says why. */
static int create_beside(const char *path, char *beside, size_t size)
{
    int file = -1;
    errno = EEXIST;
    for (int name = 0; name < NAMES && file < 0 && errno == EEXIST; name++) {
        snprintf(beside, size, "%s.%ld.%d", path, (long)getpid(), name);
        file = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    return file;
}

static bool write_all(int file, const char *text, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t put = write(file, text, bytes);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        text += put;
        bytes -= (size_t)put;
    }
    return fsync(file) == 0;
}

static dist_status replace(const char *path, const char *what, const char *text, size_t bytes)
{
    const size_t size = strlen(path) + 48;
    char *beside = malloc(size);
    if (!beside)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a name");
    const int file = create_beside(path, beside, size);
    bool fine = file >= 0 && write_all(file, text, bytes);
    int why = errno;
    if (file >= 0 && close(file) != 0 && fine) {
        fine = false;
        why = errno;
    }
    if (fine && rename(beside, path) != 0) {
        fine = false;
        why = errno;
    }
    if (file >= 0 && !fine)
        unlink(beside);
    free(beside);
    errno = why;
    return fine ? DIST_OK : cannot(DIST_ERR_IO, "write", what, path);
}

dist_status dist_text_file_replace(const char *path, const char *what, const char *text, size_t bytes)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return replace(path, what, text, bytes);
        return cannot(DIST_ERR_IO, "write", what, path);
    }
    if (!S_ISREG(about.st_mode))
        return dist_fail(DIST_ERR_IO,
                         "cannot write %s '%.400s': it is a folder, a pipe or a device, not a file", what,
                         path);
    char *real = realpath(path, NULL);
    if (!real)
        return cannot(DIST_ERR_IO, "write", what, path);
    const dist_status status = replace(real, what, text, bytes);
    free(real);
    return status;
}
