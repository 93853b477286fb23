/* The table and the JSON of dist_plan. */
#include <inttypes.h>

#include "plan.h"

/* ---- the table ---- */

static void print_layers(const plan_case *c)
{
    for (int s = 0; c->first && s < c->pipeline.stages; s++)
        printf("# stage %d on rank %d: layers %d to %d\n", s, c->pipeline.rank_of[s], c->first[s],
               c->first[s + 1] - 1);
}

static void print_links(const plan_case *c)
{
    for (int l = 0; !c->is_pipeline && l < c->predicted.links; l++) {
        const dist_plan_link_figures *link = &c->predicted.link[l];
        if (link->from[0] == 's')
            printf("# %s to %s: %" PRIu64 " bytes in %" PRIu64 " messages, busy %.6g\n", link->from, link->to,
                   link->bytes, link->messages, link->busy);
    }
}

void plan_print_table(const plan_case *c)
{
    const dist_plan_prediction *p = &c->predicted;
    printf("# libdist %s\n# %s\n", dist_version(), c->title);
    print_layers(c);
    printf("#%5s %12s %12s %12s %12s %8s", "rank", "begin", "end", "busy", "bubble", "bubble%");
    printf(c->is_pipeline ? " %8s %12s\n" : "%.0s %12s\n", "peak", "peak(B)");
    for (int r = 0; r < p->ranks; r++) {
        const dist_plan_rank_figures *rank = &p->rank[r];
        printf("%6d %12.6g %12.6g %12.6g %12.6g %8.2f", r, rank->begin, rank->end, rank->busy, rank->bubble,
               p->makespan > 0 ? 100 * rank->bubble / p->makespan : 0);
        if (c->is_pipeline)
            printf(" %8.6g", rank->peak);
        printf(" %12" PRIu64 "\n", rank->peak_bytes);
    }
    print_links(c);
    printf("# makespan %.9g, span %.9g", p->makespan, p->span);
    if (p->bound > 0)
        printf(", bound %.9g, makespan / bound %.4f\n", p->bound, p->ratio);
    else
        printf("; no bound is known\n");
}

/* ---- JSON ---- */

static void write_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++)
        if ((unsigned char)*text < 0x20)
            fprintf(file, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            fprintf(file, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    fputc('"', file);
}

static void write_doubles(FILE *file, const plan_case *c, const char *name, size_t at)
{
    fprintf(file, ",\n\"%s\":[", name);
    for (int r = 0; r < c->predicted.ranks; r++)
        fprintf(file, "%s%.15g", r ? "," : "",
                *(const double *)(const void *)((const char *)&c->predicted.rank[r] + at));
    fputc(']', file);
}

static void write_ranks(FILE *file, const plan_case *c)
{
    write_doubles(file, c, "begin", offsetof(dist_plan_rank_figures, begin));
    write_doubles(file, c, "end", offsetof(dist_plan_rank_figures, end));
    write_doubles(file, c, "busy", offsetof(dist_plan_rank_figures, busy));
    write_doubles(file, c, "bubble", offsetof(dist_plan_rank_figures, bubble));
    write_doubles(file, c, "peak", offsetof(dist_plan_rank_figures, peak));
    fprintf(file, ",\n\"peak_bytes\":[");
    for (int r = 0; r < c->predicted.ranks; r++)
        fprintf(file, "%s%" PRIu64, r ? "," : "", c->predicted.rank[r].peak_bytes);
    fputc(']', file);
}

static void write_links(FILE *file, const plan_case *c)
{
    fprintf(file, ",\n\"bytes\":[");
    for (int l = 0; l < c->predicted.links; l++) {
        const dist_plan_link_figures *link = &c->predicted.link[l];
        fprintf(file,
                "%s\n{\"from\":\"%s\",\"to\":\"%s\",\"bytes\":%" PRIu64 ",\"messages\":%" PRIu64
                ",\"busy\":%.15g}",
                l ? "," : "", link->from, link->to, link->bytes, link->messages, link->busy);
    }
    fputc(']', file);
}

static void write_op(FILE *file, int rank, size_t i, const dist_plan_op *op)
{
    fprintf(file, "%s\n{\"rank\":%d,\"op\":%zu,\"kind\":\"%s\",\"start\":%.15g,\"end\":%.15g",
            rank || i ? "," : "", rank, i, dist_plan_op_name(op->kind), op->start, op->end);
    if (op->stage >= 0)
        fprintf(file, ",\"stage\":%d,\"microbatch\":%d", op->stage, op->microbatch);
    if (op->peer >= 0)
        fprintf(file, ",\"peer\":%d", op->peer);
    if (op->bytes > 0)
        fprintf(file, ",\"bytes\":%" PRIu64, op->bytes);
    fputc('}', file);
}

static void write_ops(FILE *file, const plan_case *c)
{
    fprintf(file, ",\n\"ops\":[");
    for (int r = 0; r < c->predicted.ranks; r++)
        for (size_t i = 0; i < dist_plan_set_ops(c->set, r); i++) {
            dist_plan_op op;
            if (dist_plan_set_op(c->set, r, i, &op) >= 0)
                write_op(file, r, i, &op);
        }
    fputc(']', file);
}

static void write_shape(FILE *file, const plan_case *c)
{
    const dist_plan_pipeline *p = &c->pipeline;
    const plan_options *o = c->options;
    fprintf(file, "{\"version\":\"%s\",\"command\":\"%s\",\n", dist_version(), o->command);
    if (c->is_pipeline) {
        fprintf(file, "\"schedule\":");
        write_text(file, p->schedule);
        fprintf(file, ",\"stages\":%d,\"microbatches\":%d,\"chunks\":%d,\"split\":%s", p->ranks,
                p->microbatches, p->chunks, p->split ? "true" : "false");
    } else {
        fprintf(file, "\"algo\":");
        write_text(file, o->algo ? o->algo : "auto");
        fprintf(file, ",\"codec\":");
        write_text(file, o->codec ? o->codec : "none");
        fprintf(file, ",\"size\":%" PRIu64 ",\"type\":\"%s\",\"ranks\":%d,\"sites\":%d", o->bytes,
                dist_type_name(o->type), c->predicted.ranks, c->site_of[c->predicted.ranks - 1] + 1);
    }
    for (int s = 0; c->first && s <= p->stages; s++)
        fprintf(file, "%s%d%s", s ? "," : ",\n\"first_layer\":[", c->first[s], s == p->stages ? "]" : "");
}

static bool write_json(const plan_case *c, FILE *file)
{
    const dist_plan_prediction *p = &c->predicted;
    write_shape(file, c);
    fprintf(file, ",\n\"verified\":%s,\"makespan\":%.15g,\"span\":%.15g", c->verified ? "true" : "null",
            p->makespan, p->span);
    if (p->bound > 0)
        fprintf(file, ",\"bound\":%.15g,\"ratio\":%.15g", p->bound, p->ratio);
    else
        fprintf(file, ",\"bound\":null,\"ratio\":null");
    write_ranks(file, c);
    write_links(file, c);
    if (c->options->ops)
        write_ops(file, c);
    fprintf(file, "}\n");
    return true;
}

bool plan_write_json(const plan_case *c, const char *path)
{
    return plan_write_file(c, path, write_json);
}
