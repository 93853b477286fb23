/* Byte-level text: what the program trains on. A token is a byte. */
#ifndef TRAIN_GPT_DATA_H
#define TRAIN_GPT_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A Debian or Ubuntu system carries these licence texts. */
#define GPT_DEFAULT_DATA "/usr/share/common-licenses"

typedef struct gpt_text {
    unsigned char *bytes;
    size_t count; /* bytes to train on */
    size_t held;  /* bytes after those, never trained on */
} gpt_text;

/* Reads a file, or the regular files of a folder one after the other in the order of their names (symbolic
 * links are left out). A sequence takes `context` bytes and the one after them. With hold_out the last tenth
 * is kept for validation. On failure (nothing to read, less than one sequence) false, and a sentence. */
bool gpt_text_load(gpt_text *text, const char *path, size_t context, bool hold_out, char *sentence,
                   size_t sentence_size);
void gpt_text_destroy(gpt_text *text);

/* Sequence `index` of the global batch of `step`: the same for any number of ranks. inputs and targets:
 * context bytes. */
void gpt_text_sequence(const gpt_text *text, uint64_t seed, size_t step, size_t index, size_t context,
                       unsigned char *inputs, unsigned char *targets);

/* Sequence `index` of `sequences` that are spread evenly over the held-out bytes. */
void gpt_text_held_sequence(const gpt_text *text, size_t index, size_t sequences, size_t context,
                            unsigned char *inputs, unsigned char *targets);

#endif
