#define _XOPEN_SOURCE 700 /* scandir, lstat */

#include "data.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "random.h"

/* Where a sentence on what went wrong goes. */
struct complaint {
    char *text;
    size_t size;
};

static bool complain(struct complaint complaint, const char *what, const char *path, const char *why)
{
    snprintf(complaint.text, complaint.size, "cannot %s %s: %s; name a readable text with --data", what, path,
             why);
    return false;
}

static bool append_stream(gpt_text *text, FILE *file)
{
    size_t capacity = text->count;
    for (;;) {
        if (text->count == capacity) {
            capacity = capacity < 65536 ? 131072 : capacity * 2;
            unsigned char *grown = realloc(text->bytes, capacity);
            if (!grown)
                return false;
            text->bytes = grown;
        }
        const size_t got = fread(text->bytes + text->count, 1, capacity - text->count, file);
        text->count += got;
        if (got == 0)
            return !ferror(file);
    }
}

static bool append_file(gpt_text *text, const char *path, struct complaint complaint)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return complain(complaint, "open", path, strerror(errno));
    errno = 0;
    const bool read = append_stream(text, file);
    const int error = errno ? errno : EIO;
    fclose(file);
    return read || complain(complaint, "read", path, strerror(error));
}

static bool append_entry(gpt_text *text, const char *folder, const char *name, struct complaint complaint)
{
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    struct stat status;
    if (length < 0 || (size_t)length >= sizeof path)
        return complain(complaint, "open", folder, "a name in it is too long");
    if (lstat(path, &status) != 0)
        return complain(complaint, "read", path, strerror(errno));
    return !S_ISREG(status.st_mode) || append_file(text, path, complaint);
}

static bool append_folder(gpt_text *text, const char *path, struct complaint complaint)
{
    struct dirent **entries;
    const int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0)
        return complain(complaint, "list", path, strerror(errno));
    bool done = true;
    for (int i = 0; i < count; i++) {
        done = done && append_entry(text, path, entries[i]->d_name, complaint);
        free(entries[i]);
    }
    free(entries);
    return done;
}

static bool load(gpt_text *text, const char *path, struct complaint complaint)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return complain(complaint, "open", path, strerror(errno));
    return S_ISDIR(status.st_mode) ? append_folder(text, path, complaint)
                                   : append_file(text, path, complaint);
}

bool gpt_text_load(gpt_text *text, const char *path, size_t context, bool hold_out, char *sentence,
                   size_t sentence_size)
{
    *text = (gpt_text){0};
    const size_t needed = context + 1, bytes_needed = hold_out ? 10 * needed : needed;
    bool loaded = load(text, path, (struct complaint){sentence, sentence_size});
    if (loaded && text->count < bytes_needed) {
        snprintf(sentence, sentence_size,
                 "%s has %zu bytes, but %s%zu (--context %zu and the byte after it); give a longer text or a "
                 "shorter --context",
                 path, text->count, hold_out ? "--validate takes ten sequences of " : "one sequence takes ",
                 needed, context);
        loaded = false;
    }
    if (!loaded) {
        gpt_text_destroy(text);
        return false;
    }
    text->held = hold_out ? text->count / 10 : 0;
    text->count -= text->held;
    return true;
}

void gpt_text_destroy(gpt_text *text)
{
    free(text->bytes);
    *text = (gpt_text){0};
}

static void copy_sequence(const unsigned char *bytes, size_t context, unsigned char *inputs,
                          unsigned char *targets)
{
    memcpy(inputs, bytes, context);
    memcpy(targets, bytes + 1, context);
}

void gpt_text_sequence(const gpt_text *text, uint64_t seed, size_t step, size_t index, size_t context,
                       unsigned char *inputs, unsigned char *targets)
{
    const uint64_t places = text->count - context;
    const uint64_t place =
        gpt_random(seed ^ 0x74657874u, step, index) % places; /* not the weights' numbers */
    copy_sequence(text->bytes + place, context, inputs, targets);
}

void gpt_text_held_sequence(const gpt_text *text, size_t index, size_t sequences, size_t context,
                            unsigned char *inputs, unsigned char *targets)
{
    const size_t places = text->held - context;
    const double share = (double)index / (double)sequences;
    copy_sequence(text->bytes + text->count + (size_t)((double)places * share), context, inputs, targets);
}
