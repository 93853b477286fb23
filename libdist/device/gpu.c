#include "device/gpu.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

dist_status dist_gpu_check(const dist_gpu *gpu, int error, const char *what)
{
    if (error == 0)
        return DIST_OK;
    return dist_fail(DIST_ERR_CUDA, "%s: CUDA error %d, %s", what, error, gpu->cuda->error_name(error));
}

#define GPU_TRY(gpu, call) DIST_TRY(dist_gpu_check(gpu, (gpu)->cuda->call, #call))

int dist_gpu_enter(const dist_gpu *gpu)
{
    int before = -1;
    if (gpu->cuda->current(&before) != 0 || before != gpu->device)
        gpu->cuda->select(gpu->device);
    return before;
}

void dist_gpu_leave(const dist_gpu *gpu, int before)
{
    if (before >= 0 && before != gpu->device)
        gpu->cuda->select(before);
}

static dist_status open_streams(dist_gpu *gpu)
{
    GPU_TRY(gpu, identify(gpu->device, &gpu->identity));
    for (int lane = 0; lane < DIST_LANES; lane++)
        GPU_TRY(gpu, stream_create(&gpu->stream[lane], 1));
    return DIST_OK;
}

dist_status dist_gpu_open(dist_gpu **out, const dist_cuda *cuda, const dist_codec_cuda *codec, int device)
{
    dist_gpu *gpu = calloc(1, sizeof *gpu);
    *out = NULL;
    if (!gpu)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a CUDA device");
    gpu->cuda = cuda;
    gpu->codec = codec;
    gpu->device = device;
    if (!(gpu->words = calloc(1, sizeof *gpu->words))) {
        free(gpu);
        return dist_fail(DIST_ERR_MEMORY, "no memory for a CUDA device");
    }
    const int before = dist_gpu_enter(gpu);
    const dist_status status = open_streams(gpu);
    dist_gpu_leave(gpu, before);
    if (status < 0) {
        dist_gpu_close(gpu);
        return status;
    }
    *out = gpu;
    return DIST_OK;
}

void dist_gpu_close(dist_gpu *gpu)
{
    if (!gpu)
        return;
    const int before = dist_gpu_enter(gpu);
    for (int lane = 0; lane < DIST_LANES; lane++)
        if (gpu->stream[lane]) {
            gpu->cuda->synchronize(gpu->stream[lane]);
            gpu->cuda->stream_destroy(gpu->stream[lane]);
        }
    dist_gpu_leave(gpu, before);
    free(gpu->words->word);
    free(gpu->words);
    free(gpu);
}

static dist_status allocate_on_device(const dist_gpu *gpu, size_t bytes, void **out)
{
    void *const stream = gpu->stream[DIST_LANE_ENCODE];
    GPU_TRY(gpu, allocate(out, bytes));
    GPU_TRY(gpu, zero(*out, bytes, stream));
    GPU_TRY(gpu, synchronize(stream));
    return DIST_OK;
}

dist_status dist_gpu_alloc(const dist_gpu *gpu, dist_memory memory, size_t bytes, void **out)
{
    dist_status status = DIST_OK;
    *out = NULL;
    if (memory == DIST_MEMORY_CUDA && bytes == 0)
        return DIST_OK;
    if (!gpu || (memory != DIST_MEMORY_CUDA && memory != DIST_MEMORY_PINNED)) {
        *out = dist_alloc_zeroed(bytes);
        return *out ? DIST_OK : dist_fail(DIST_ERR_MEMORY, "no memory for %zu bytes", bytes);
    }
    const int before = dist_gpu_enter(gpu);
    if (memory == DIST_MEMORY_CUDA) {
        status = allocate_on_device(gpu, bytes, out);
    } else {
        status = dist_gpu_check(gpu, gpu->cuda->pin(out, bytes ? bytes : 1), "pinning host memory");
        if (status >= 0)
            memset(*out, 0, bytes);
    }
    dist_gpu_leave(gpu, before);
    if (status < 0) {
        dist_gpu_free(gpu, memory, *out);
        *out = NULL;
    }
    return status;
}

void dist_gpu_free(const dist_gpu *gpu, dist_memory memory, void *address)
{
    if (!address)
        return;
    if (!gpu || (memory != DIST_MEMORY_CUDA && memory != DIST_MEMORY_PINNED)) {
        dist_free_zeroed(address);
        return;
    }
    const int before = dist_gpu_enter(gpu);
    if (memory == DIST_MEMORY_CUDA)
        gpu->cuda->release(address);
    else
        gpu->cuda->unpin(address);
    dist_gpu_leave(gpu, before);
}

/* A line of a cache each: the host writes one while the device looks at others. */
enum { WORDS_AT_ONCE = 64, WORD_STRIDE = 16 };

static dist_status add_words(const dist_gpu *gpu)
{
    dist_gpu_words *words = gpu->words;
    void *memory = NULL;
    if (!dist_grow(&words->word, &words->capacity, words->all + WORDS_AT_ONCE, sizeof *words->word))
        return dist_fail(DIST_ERR_MEMORY, "no memory for words of a CUDA device");
    DIST_TRY(
        dist_gpu_alloc(gpu, DIST_MEMORY_PINNED, WORDS_AT_ONCE * WORD_STRIDE * sizeof(uint32_t), &memory));
    for (size_t w = WORDS_AT_ONCE; w-- > 0;)
        words->word[words->count++] = (uint32_t *)memory + w * WORD_STRIDE;
    words->all += WORDS_AT_ONCE;
    return DIST_OK;
}

dist_status dist_gpu_take_word(const dist_gpu *gpu, uint32_t **word)
{
    if (gpu->words->count == 0)
        DIST_TRY(add_words(gpu));
    *word = gpu->words->word[--gpu->words->count];
    return DIST_OK;
}

void dist_gpu_give_word(const dist_gpu *gpu, uint32_t *word)
{
    if (word)
        gpu->words->word[gpu->words->count++] = word;
}

dist_status dist_gpu_copy_now(const dist_gpu *gpu, void *dst, const void *src, size_t bytes)
{
    void *const stream = gpu->stream[DIST_LANE_DOWN];
    const int before = dist_gpu_enter(gpu);
    dist_status status = dist_gpu_check(gpu, gpu->cuda->copy(dst, src, bytes, stream), "copying");
    if (status >= 0)
        status = dist_gpu_check(gpu, gpu->cuda->synchronize(stream), "copying");
    dist_gpu_leave(gpu, before);
    return status;
}
