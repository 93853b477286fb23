#include <inttypes.h>
#include <stdarg.h>

#include "plan/plan.h"

static const char *const op_names[DIST_OP_KINDS] = {
    [DIST_OP_SEND] = "SEND",     [DIST_OP_RECV] = "RECV",       [DIST_OP_REDUCE] = "REDUCE",
    [DIST_OP_COPY] = "COPY",     [DIST_OP_DIVIDE] = "DIVIDE",   [DIST_OP_ENCODE] = "ENCODE",
    [DIST_OP_DECODE] = "DECODE", [DIST_OP_PROJECT] = "PROJECT", [DIST_OP_EXPAND] = "EXPAND",
    [DIST_OP_NATIVE] = "NATIVE", [DIST_OP_CALL] = "CALL",
};

static const char *const call_names[DIST_CALL_KINDS] = {"F", "B", "W", "D"};

static const char *const native_names[] = {
    [DIST_NATIVE_ALL_REDUCE] = "all-reduce", [DIST_NATIVE_REDUCE_SCATTER] = "reduce-scatter",
    [DIST_NATIVE_ALL_GATHER] = "all-gather", [DIST_NATIVE_BROADCAST] = "broadcast",
    [DIST_NATIVE_ALL_TO_ALL] = "all-to-all", [DIST_NATIVE_BARRIER] = "barrier",
};

const char *dist_op_name(dist_op_kind kind)
{
    return kind < DIST_OP_KINDS ? op_names[kind] : "unknown";
}

typedef struct text_line {
    char *text;
    size_t size, used;
} text_line;

static void __attribute__((format(printf, 2, 3))) add(text_line *line, const char *format, ...)
{
    va_list arguments;
    if (line->used >= line->size)
        return;
    va_start(arguments, format);
    int written = vsnprintf(line->text + line->used, line->size - line->used, format, arguments);
    va_end(arguments);
    line->used += written > 0 ? (size_t)written : 0;
}

static void add_slice(text_line *line, const dist_plan *plan, dist_slice slice)
{
    if (slice.buffer >= plan->buffers)
        add(line, " ?");
    else
        add(line, " %s[%" PRIu64 "+%" PRIu64 "]", plan->buffer[slice.buffer].name, slice.offset, slice.bytes);
}

void dist_call_format(const dist_op *op, char *text, size_t size)
{
    snprintf(text, size, "%s%" PRIu32 ".%" PRIu32, op->call < DIST_CALL_KINDS ? call_names[op->call] : "?",
             op->stage, op->microbatch);
}

static void add_call(text_line *line, const dist_op *op)
{
    char text[32];
    dist_call_format(op, text, sizeof text);
    add(line, " %s", text);
}

static void add_message(text_line *line, const dist_plan *plan, const dist_op *op)
{
    bool send = op->kind == DIST_OP_SEND;
    if (op->staged)
        add_call(line, op);
    add_slice(line, plan, send ? op->src : op->dst);
    add(line, " %s rank %d #%" PRIu32 " channel %u%s", send ? "to" : "from", op->peer, op->sequence,
        op->channel, op->device ? " over the device wire" : "");
}

void dist_op_format(const dist_plan *plan, size_t number, char *text, size_t size)
{
    const dist_op *op = &plan->op[number];
    text_line line = {text, size, 0};
    add(&line, "%s", dist_op_name((dist_op_kind)op->kind));
    if (op->kind == DIST_OP_SEND || op->kind == DIST_OP_RECV) {
        add_message(&line, plan, op);
        return;
    }
    if (op->kind == DIST_OP_NATIVE)
        add(&line, "%s %s of %" PRIu64 " %s", op->device ? " team" : "", native_names[op->native], op->count,
            dist_type_name((dist_type)op->type));
    if (op->kind == DIST_OP_CALL)
        add_call(&line, op);
    if (op->dst.buffer != DIST_NO_BUFFER)
        add_slice(&line, plan, op->dst);
    if (op->kind == DIST_OP_DIVIDE) {
        add(&line, " / %" PRIu32, op->divisor);
        return;
    }
    if (op->src.buffer != DIST_NO_BUFFER) {
        bool updates = op->kind == DIST_OP_REDUCE || op->add;
        add(&line, updates ? " +=" : " =");
        add_slice(&line, plan, op->src);
    }
    if (op->kind == DIST_OP_COPY && op->count > 0)
        add(&line, ", a frame of %" PRIu64, op->count);
    if (op->kind == DIST_OP_NATIVE && op->divisor > 1)
        add(&line, " / %" PRIu32, op->divisor);
    if (op->kind == DIST_OP_DECODE && (op->frames > 1 || op->divisor > 1))
        add(&line, " of %" PRIu32 " frames / %" PRIu32, op->frames, op->divisor);
    if (op->kind == DIST_OP_PROJECT || op->kind == DIST_OP_EXPAND)
        add(&line, " of %" PRIu64 " rows, rank %u", op->rows, plan->codec.rank);
    if (op->state.buffer != DIST_NO_BUFFER) {
        add(&line, " with");
        add_slice(&line, plan, op->state);
    }
}

void dist_plan_write(const dist_plan *plan, FILE *file)
{
    static const char *const kinds[] = {"user", "scratch", "state"};
    fprintf(file, "# rank %d of %d", plan->rank, plan->ranks);
    if (plan->group)
        fprintf(file, " in the group of rank %" PRIu32, plan->group - 1);
    fprintf(file, ": %s\n# %zu ops, %" PRIu64 " scratch bytes, hash %016" PRIx64 "\n", plan->label, plan->ops,
            dist_plan_bytes(plan, DIST_BUFFER_SCRATCH), dist_plan_hash(plan));
    for (int m = 0; m < plan->teammates; m++)
        fprintf(file, "%s %d%s", m ? "" : "# team:", plan->team[m], m + 1 < plan->teammates ? "" : "\n");
    for (size_t b = 0; b < plan->buffers; b++) {
        const dist_plan_buffer *buffer = &plan->buffer[b];
        const char *memory = buffer->memory == DIST_MEMORY_CUDA     ? ", cuda"
                             : buffer->memory == DIST_MEMORY_PINNED ? ", pinned"
                                                                    : "";
        fprintf(file, "# buffer %s: %s%s, %" PRIu64 " bytes\n", buffer->name, kinds[buffer->kind], memory,
                buffer->bytes);
    }
    for (size_t i = 0; i < plan->ops; i++) {
        char text[256];
        dist_op_format(plan, i, text, sizeof text);
        fprintf(file, "%5zu %s", i, text);
        for (uint32_t w = 0; w < plan->op[i].waits; w++)
            fprintf(file, "%s%" PRIu32, w ? "," : " after ", plan->wait[plan->op[i].first_wait + w]);
        fputc('\n', file);
    }
}
