/* The loop: every variant in turn within each iteration, so that drift hits all alike. */
#define _POSIX_C_SOURCE 200809L

#include "collective_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Codecs go with algorithms that have an exchange between sites of their own. */
static void find_variants(perf_bench *b)
{
    const perf_options *o = b->options;
    const bool coded = b->operation->reduces && b->operation->replicates && dist_sites(b->context) > 1;
    for (int a = 0; a < o->algo.words; a++)
        for (int c = 0; c < o->codec.words; c++) {
            const char *algo = o->algo.word[a], *codec = o->codec.word[c];
            const bool mpi = strcmp(algo, "mpi") == 0;
            const bool takes = coded && (strncmp(algo, "hier", 4) == 0 || strcmp(algo, "auto") == 0);
            if (takes || strcmp(codec, "none") == 0)
                b->variant[b->variants++] = (perf_variant){algo, codec, mpi};
            else if (c == 0 && !perf_list_has(&o->codec, "none")) /* uncompressed beside the codec */
                b->variant[b->variants++] = (perf_variant){algo, "none", mpi};
        }
}

static perf_call call_of(const perf_bench *b, const perf_variant *variant, int place)
{
    perf_call c = {.context = b->context,
                   .send = b->send,
                   .receive = b->receive,
                   .count = b->count,
                   .type = b->options->type,
                   .op = b->options->op,
                   .root = b->root,
                   .place = place,
                   .by_mpi = variant->mpi,
                   .options = DIST_COLLECTIVE_OPTIONS_INIT};
    c.options.algo = variant->algo;
    c.options.codec = variant->codec;
    return c;
}

static bool tell(const perf_bench *b, const perf_variant *variant)
{
    fprintf(stderr, "dist_perf: %s %s: %s\n", b->operation->name, variant->algo, dist_last_error());
    return false;
}

/* ---- one measurement ---- */

static bool run_once(const perf_bench *b, int v, int place)
{
    const perf_variant *variant = &b->variant[v];
    const perf_call c = call_of(b, variant, place);
    dist_request *request = b->sample[v][place].request;
    if (variant->mpi) {
        const MPI_Op op = perf_mpi_op(c.op);
        return b->operation->mpi(&c, perf_mpi_type(c.type), op == MPI_OP_NULL ? MPI_SUM : op) == MPI_SUCCESS;
    }
    if (request ? dist_request_post(request) < 0 || dist_request_wait(request, 0) < 0
                : b->operation->call(&c) < 0)
        return tell(b, variant);
    return true;
}

/* What the interfaces of this node have sent, the loopback aside. */
static double bytes_sent(void)
{
    char line[512];
    double all = 0;
    FILE *file = fopen("/proc/self/net/dev", "r");
    while (file && fgets(line, sizeof line, file)) {
        char name[64];
        double sent;
        if (sscanf(line, " %63[^:]: %*s %*s %*s %*s %*s %*s %*s %*s %lf", name, &sent) == 2 &&
            strcmp(name, "lo") != 0)
            all += sent;
    }
    if (file)
        fclose(file);
    return all;
}

static double sent_across(const perf_bench *b, const perf_variant *variant)
{
    dist_counters counters = {0};
    if (variant->mpi)
        return b->counts ? bytes_sent() : 0;
    dist_counters_get(b->context, &counters);
    return (double)counters.bytes_across;
}

static double over_ranks(const perf_bench *b, double took)
{
    static const MPI_Op op[] = {MPI_MAX, MPI_SUM, MPI_MIN, MPI_MAX};
    const perf_over over = b->options->over;
    if (over == PERF_RANK_0 && dist_rank(b->context) != 0)
        took = 0;
    MPI_Allreduce(MPI_IN_PLACE, &took, 1, MPI_DOUBLE, op[over], MPI_COMM_WORLD);
    return over == PERF_MEAN ? took / dist_ranks(b->context) : took;
}

/* Unlike MPI's, libdist's barrier has a deadline. */
static bool meet(const perf_bench *b)
{
    if (dist_barrier(b->context) == DIST_OK)
        return true;
    fprintf(stderr, "dist_perf: %s\n", dist_last_error());
    return false;
}

/* From the last rank's start to the last rank's end, as a program sees it. */
static bool sample_one(perf_bench *b, int v, int place, int iteration)
{
    perf_samples *s = &b->sample[v][place];
    if (!meet(b))
        return false;
    const double before = sent_across(b, &b->variant[v]);
    if (b->counts && !meet(b)) /* nobody sends before all have looked */
        return false;
    const double cpu = perf_processor_time(), began = perf_seconds();
    for (int c = 0; c < b->options->calls; c++)
        if (!run_once(b, v, place))
            return false;
    const double took = perf_seconds() - began, used = perf_processor_time() - cpu;
    double after = sent_across(b, &b->variant[v]);
    if (b->counts && b->variant[v].mpi) { /* the others may still be sending */
        if (!meet(b))
            return false;
        after = sent_across(b, &b->variant[v]);
    }
    if (iteration < 0)
        return true;
    s->time[iteration] = took / b->options->calls;
    s->across += (after - before) / b->options->calls;
    s->cpu += used;
    s->wall += took;
    return true;
}

static bool iterate(perf_bench *b, int iteration)
{
    for (int v = 0; v < b->variants; v++)
        for (int place = 0; place < PERF_PLACES; place++)
            if (b->sample[v][place].time && !sample_one(b, v, place, iteration))
                return false;
    return true;
}

/* ---- what it was like ---- */

/* Bytes a direction on the busiest link: all that the ranks of one site send, for the site that sends most. */
static double busiest(dist_context *context, double mine)
{
    double most = 0;
    for (int site = 0; site < dist_sites(context); site++) {
        double sent = dist_site(context) == site ? mine : 0;
        MPI_Allreduce(MPI_IN_PLACE, &sent, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        most = sent > most ? sent : most;
    }
    return most;
}

/* The same call on memory that the host can read and write. */
static perf_call on_host(const perf_bench *b, perf_call c)
{
    if (b->host[0]) {
        c.send = b->host[0];
        c.receive = b->host[1];
    }
    return c;
}

static bool fill(const perf_bench *b, perf_call c, size_t bytes)
{
    const perf_call host = on_host(b, c);
    perf_fill_input(b->operation, &host);
    return !b->host[0] || dist_copy(b->context, c.place == PERF_IN_PLACE ? c.receive : c.send,
                                    c.place == PERF_IN_PLACE ? host.receive : host.send, bytes) == DIST_OK;
}

static bool check(const perf_bench *b, int v, int place, size_t larger, perf_figures *figures)
{
    const perf_variant *variant = &b->variant[v];
    const perf_call c = call_of(b, variant, place), host = on_host(b, c);
    const perf_expectation expectation = {dist_sites(b->context), variant->codec};
    const int ranks = dist_ranks(b->context);
    const size_t bytes = b->count * dist_type_bytes(c.type) * (b->operation->wide_output ? (size_t)ranks : 1);
    bool identical = true;
    uint64_t hash = 0, first;
    if (!fill(b, c, larger) || !run_once(b, v, place))
        return false;
    if (b->host[1] && dist_copy(b->context, b->host[1], b->receive, larger) < 0)
        return tell(b, variant);
    if (!(b->operation->reduces && variant->mpi && c.op == DIST_AVERAGE)) { /* MPI has no average */
        double wrong = (double)perf_count_wrong(b->operation, &host, &expectation);
        perf_reduce(&wrong, 1, MPI_SUM);
        figures->wrong = (long long)wrong;
    }
    if (b->operation->replicates) {
        dist_replicas_identical(b->context, b->receive, bytes, &identical, &hash);
        first = hash;
        MPI_Bcast(&first, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
        double diverge = hash != first;
        perf_reduce(&diverge, 1, MPI_SUM);
        figures->diverge = (int)diverge;
    }
    return true;
}

static bool figures_of(perf_bench *b, int v, int place, size_t larger, perf_figures *figures)
{
    const int n = b->options->iterations;
    perf_samples *s = &b->sample[v][place];
    *figures = (perf_figures){.measured = true, .wrong = -1, .diverge = -1, .wan = -1};
    for (int i = 0; i < n; i++) {
        s->time[i] = over_ranks(b, s->time[i]);
        figures->mean += s->time[i] / n;
    }
    figures->p50 = perf_median(s->time, n);
    figures->least = s->time[0];
    figures->p95 = perf_quantile(s->time, n, 0.95);
    figures->p99 = perf_quantile(s->time, n, 0.99);
    const double across = busiest(b->context, s->across) / n;
    if (!b->variant[v].mpi || b->result->link.counted)
        figures->wan = across;
    figures->cpu = s->wall > 0 ? s->cpu / s->wall : 0;
    perf_reduce(&figures->cpu, 1, MPI_MAX);
    return !b->options->check || check(b, v, place, larger, figures);
}

/* Seconds that a row cannot be faster than; 0: unknown. Inside a node it measures copying. */
static double bound_of(const perf_bench *b, const perf_row *row)
{
    const perf_link *link = &b->result->link;
    const int ranks = dist_ranks(b->context);
    const double bytes = (double)row->bytes;
    if (link->groups == 1 && ranks > 1)
        return perf_copy_time((size_t)perf_operation_copied(b->operation, bytes, ranks));
    if (!(link->rate > 0))
        return 0;
    /* nodes of one site, without site names: as if each were a site */
    const double across = dist_sites(b->context) > 1 || !b->operation->replicates
                              ? row->across
                              : 2 * (link->groups - 1.0) / link->groups * bytes;
    return across * perf_codec_ratio(row->variant.codec) / link->rate;
}

/* ---- sizes ---- */

/* Those of this size and root. */
static bool open_requests(perf_bench *b)
{
    for (int v = 0; v < b->variants && b->options->requests; v++)
        for (int place = 0; place < PERF_PLACES; place++) {
            const perf_call c = call_of(b, &b->variant[v], place);
            if (b->sample[v][place].time && !b->variant[v].mpi &&
                b->operation->init(&c, &b->sample[v][place].request) < 0)
                return tell(b, &b->variant[v]);
        }
    return true;
}

static bool measure(perf_bench *b, size_t bytes, perf_row *row)
{
    const perf_options *o = b->options;
    for (int v = 0; v < b->variants; v++)
        for (int place = 0; place < PERF_PLACES; place++) {
            perf_samples *s = &b->sample[v][place];
            s->across = s->cpu = s->wall = 0;
        }
    if (!fill(b, call_of(b, &b->variant[0], PERF_OUT_OF_PLACE), bytes) ||
        !fill(b, call_of(b, &b->variant[0], PERF_IN_PLACE), bytes) || !open_requests(b))
        return false;
    for (int i = -o->warmup; i < o->iterations; i++) {
        perf_progress(b->context, "%zu bytes: %d of %d", bytes, i, o->iterations);
        if (!iterate(b, i))
            return false;
    }
    perf_progress(b->context, NULL);
    for (int v = 0; v < b->variants; v++) {
        row[v] = (perf_row){.bytes = bytes, .count = b->count, .variant = b->variant[v], .root = -1};
        if (b->operation->rooted)
            row[v].root = b->root;
        row[v].across = perf_operation_across(b->operation, b->context, (double)bytes);
        row[v].bound = bound_of(b, &row[v]);
        for (int place = 0; place < PERF_PLACES; place++)
            if (b->sample[v][place].time && !figures_of(b, v, place, bytes, &row[v].at[place]))
                return false;
        if (dist_rank(b->context) == 0)
            perf_print_row(b->operation, o, &row[v], dist_ranks(b->context));
        perf_note_row(b->sheet, b->context, b->operation, o, &row[v]);
    }
    perf_bench_close_requests(b);
    return true;
}

static bool is_wrong(const perf_row *row)
{
    return row->at[0].wrong > 0 || row->at[0].diverge > 0 || row->at[1].wrong > 0 || row->at[1].diverge > 0;
}

static int run_sizes(perf_bench *b)
{
    const perf_options *o = b->options;
    const int ranks = dist_ranks(b->context);
    perf_result *result = b->result;
    int status = PERF_FINE;
    perf_link_find(b->context, o, &result->link);
    result->link.counted = b->counts;
    perf_sheet_head_text(b->sheet, "bound", result->link.sentence);
    perf_sheet_head_number(b->sheet, "goodput", result->link.rate, result->link.rate > 0);
    perf_sheet_head_number(b->sheet, "goodput_streams", result->link.streams, result->link.streams > 0);
    if (dist_rank(b->context) == 0)
        perf_print_header(b->context, b->operation, o, &result->link);
    for (size_t bytes = o->begin; bytes <= o->end; bytes = perf_next_size(bytes, o->step, o->factor)) {
        b->count = perf_operation_count(b->operation, bytes, o->type, ranks);
        const int last = b->operation->rooted && o->root < 0 ? ranks - 1 : o->root;
        for (b->root = o->root < 0 ? 0 : o->root; b->root <= last; b->root++) {
            if (!measure(b, perf_operation_bytes(b->operation, b->count, o->type, ranks),
                         &result->row[result->rows]))
                return PERF_FAILED;
            for (int v = 0; v < b->variants; v++, result->rows++)
                if (is_wrong(&result->row[result->rows]))
                    status = PERF_WRONG;
        }
    }
    return status;
}

int perf_measure_collective(dist_context *context, const perf_operation *operation,
                            const perf_options *options, perf_sheet *sheet, perf_result *result)
{
    perf_bench *b = calloc(1, sizeof *b);
    char text[160];
    const int ranks = dist_ranks(context);
    const size_t most = perf_operation_bytes(
        operation, perf_operation_count(operation, options->end, options->type, ranks), options->type, ranks);
    int status = PERF_USAGE;
    *result = (perf_result){0};
    if (!b)
        return PERF_FAILED;
    *b = (perf_bench){.context = context,
                      .operation = operation,
                      .options = options,
                      .sheet = sheet,
                      .result = result,
                      .counts = perf_emulated() && dist_sites(context) > 1 &&
                                dist_nodes(context) == dist_sites(context)};
    find_variants(b);
    b->counts = b->counts && perf_uses_mpi(b) && perf_all(access("/proc/self/net/dev", R_OK) == 0);
    result->variants = b->variants;
    const char *trouble = perf_hindrance(b, most, text);
    const size_t roots = operation->rooted && options->root < 0 ? (size_t)ranks : 1;
    if (trouble) {
        if (dist_rank(context) == 0)
            fprintf(stderr, "dist_perf %s: %s\n", operation->name, trouble);
    } else if (!(result->row =
                     calloc(perf_count_sizes(options) * roots * (size_t)b->variants, sizeof *result->row)) ||
               !perf_bench_allocate(b, most)) {
        if (!result->row)
            fprintf(stderr, "dist_perf %s: no memory for the rows\n", operation->name);
    } else {
        status = run_sizes(b);
    }
    perf_bench_free(b);
    if (status != PERF_FINE && status != PERF_WRONG) {
        free(result->row);
        *result = (perf_result){0};
    }
    return status;
}

int perf_conclude(const dist_context *context, const perf_operation *operation, const perf_options *options,
                  const perf_result *result, int status)
{
    if (options->svg && perf_draw_curves(options->svg, context, operation, options, result) != 0) {
        perror(options->svg);
        return PERF_USAGE;
    }
    const bool below = perf_mean_bus(operation, result, dist_ranks(context)) < options->least;
    return status == PERF_FINE && below ? PERF_BELOW : status;
}

int perf_collective(dist_context *context, const perf_options *options, perf_sheet *sheet)
{
    const perf_operation *operation = perf_operation_find(options->command);
    perf_result result;
    int status = perf_measure_collective(context, operation, options, sheet, &result);
    if (result.rows > 0 && dist_rank(context) == 0) {
        perf_print_footer(&result, perf_mean_bus(operation, &result, dist_ranks(context)));
        status = perf_conclude(context, operation, options, &result, status);
    }
    free(result.row);
    return status;
}
