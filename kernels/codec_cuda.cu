/* The plugin's table: which launchers encode and decode a codec. */
#include "kernels/codec_kernels.cuh"

typedef struct dist_cuda_group {
    uint64_t (*workspace)(dist_coding coding, uint64_t count); /* NULL: nothing of its own */
    int (*encode)(const dist_cuda_encode *encode, cudaStream_t stream);
    int (*decode)(const dist_cuda_decode *decode, cudaStream_t stream);
} dist_cuda_group;

static const dist_cuda_group *dist_cuda_group_of(uint32_t kind)
{
    static const dist_cuda_group values = {NULL, dist_launch_encode_values, dist_launch_decode_values};
    static const dist_cuda_group blocks = {NULL, dist_launch_encode_blocks, dist_launch_decode_blocks};
    static const dist_cuda_group hadamard = {dist_workspace_hadamard, dist_launch_encode_hadamard,
                                             dist_launch_decode_hadamard};
    static const dist_cuda_group topk = {dist_workspace_topk, dist_launch_encode_topk,
                                         dist_launch_decode_topk};
    static const dist_cuda_group sparse = {dist_workspace_sparse, dist_launch_encode_sparse,
                                           dist_launch_decode_sparse};
    switch (kind) {
    case DIST_CODEC_NONE:
    case DIST_CODEC_BF16:
    case DIST_CODEC_FP16:
        return &values;
    case DIST_CODEC_INT8:
    case DIST_CODEC_INT4:
    case DIST_CODEC_MXFP8:
    case DIST_CODEC_MXFP4:
    case DIST_CODEC_NVFP4:
        return &blocks;
    case DIST_CODEC_INT4_HADAMARD:
        return &hadamard;
    case DIST_CODEC_TOPK:
        return &topk;
    case DIST_CODEC_SPARSELOCO:
        return &sparse;
    default:
        return NULL;
    }
}

static uint64_t dist_cuda_workspace(dist_coding coding, uint64_t count)
{
    const dist_cuda_group *const group = dist_cuda_group_of(coding.kind);
    return DIST_CUDA_WORK_BYTES + (group && group->workspace ? group->workspace(coding, count) : 0);
}

static int dist_cuda_encode_frame(const dist_cuda_encode *given, void *stream)
{
    const cudaStream_t queue = static_cast<cudaStream_t>(stream);
    const dist_cuda_group *const group = dist_cuda_group_of(given->coding.kind);
    dist_cuda_encode encode = *given;
    if (!group)
        return cudaErrorInvalidValue;
    if (!encode.feedback || encode.keep == DIST_CUDA_KEEP_NONE) {
        encode.feedback = NULL;
        encode.keep = DIST_CUDA_KEEP_NONE;
    }
    int error = cudaMemsetAsync(encode.workspace, 0, DIST_CUDA_WORK_BYTES, queue);
    if (!error && encode.count)
        error = group->encode(&encode, queue);
    return error ? error : dist_launch_seal(&encode, queue);
}

static int dist_cuda_decode_frames(const dist_cuda_decode *decode, void *stream)
{
    const dist_cuda_group *const group = dist_cuda_group_of(decode->coding.kind);
    if (!group || decode->frames < 1 || decode->frames > DIST_CUDA_FRAMES || decode->divisor < 1)
        return cudaErrorInvalidValue;
    return decode->count ? group->decode(decode, static_cast<cudaStream_t>(stream)) : cudaSuccess;
}

static int dist_cuda_devices(int *devices)
{
    *devices = 0; /* what an error leaves it at */
    return cudaGetDeviceCount(devices);
}

static const char *dist_cuda_error_name(int error)
{
    return cudaGetErrorName(static_cast<cudaError_t>(error));
}

DIST_KERNEL_API const dist_codec_cuda *dist_codec_cuda_table(uint32_t version)
{
    static const dist_codec_cuda table = {DIST_CODEC_CUDA_VERSION, dist_cuda_devices,
                                          dist_cuda_error_name,    dist_cuda_workspace,
                                          dist_cuda_encode_frame,  dist_cuda_decode_frames};
    return version == DIST_CODEC_CUDA_VERSION ? &table : NULL;
}
