/* dist_plan: makes the plans of a pipeline or a collective, proves them, predicts their run and draws it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

bool plan_write_file(const plan_case *c, const char *path, bool (*write)(const plan_case *c, FILE *file))
{
    FILE *file = fopen(path, "w");
    bool good = file != NULL && write(c, file) && !ferror(file);
    if (file && fclose(file) != 0)
        good = false;
    if (!good)
        plan_complain(PLAN_FAILED, "'%s' cannot be written: %s", path, strerror(errno));
    return good;
}

static bool write_schedule(const plan_case *c, FILE *file)
{
    return dist_plan_set_write_schedule(c->set, file) >= 0;
}

static int verify(plan_case *c)
{
    const dist_status status = dist_plan_set_verify(c->set);
    if (status == DIST_ERR_PLAN)
        return plan_complain(PLAN_WRONG, "the plans do not verify: %s", dist_last_error());
    if (status < 0)
        return plan_refused(status);
    c->verified = true;
    printf("# verified: %s\n", c->title);
    return PLAN_FINE;
}

static int predict(plan_case *c)
{
    const plan_options *o = c->options;
    const dist_status status = dist_plan_set_predict(c->set, &c->predicted);
    if (status == DIST_ERR_PLAN)
        return plan_complain(PLAN_WRONG, "the plans do not run: %s", dist_last_error());
    if (status < 0)
        return plan_refused(status);
    if (o->predict)
        plan_print_table(c);
    if ((o->json && !plan_write_json(c, o->json)) || (o->svg && !plan_write_svg(c, o->svg)))
        return PLAN_FAILED;
    return PLAN_FINE;
}

static int show(plan_case *c)
{
    const plan_options *o = c->options;
    if (o->write && !plan_write_file(c, o->write, write_schedule))
        return PLAN_FAILED;
    for (int r = 0; o->print && r < dist_plan_set_ranks(c->set); r++)
        if (dist_plan_set_print(c->set, r, stdout) < 0)
            return plan_complain(PLAN_FAILED, "%s", dist_last_error());
    const int status = o->verify ? verify(c) : PLAN_FINE;
    if (status != PLAN_FINE || !(o->predict || o->json || o->svg))
        return status;
    return predict(c);
}

static int run(const char *command, int argc, char **argv)
{
    const bool pipeline = strcmp(command, "pipeline") == 0;
    plan_options options;
    plan_case c = {.options = &options, .is_pipeline = pipeline};
    int status = plan_options_read(&options, command, argc, argv);
    if (status == PLAN_FINE)
        status = pipeline ? plan_make_pipeline(&c) : plan_make_collective(&c);
    if (status == PLAN_FINE)
        status = show(&c);
    if (fflush(stdout) != 0 && status == PLAN_FINE)
        status = PLAN_FAILED;
    dist_plan_set_destroy(c.set);
    free(c.first);
    free(c.site_of);
    plan_options_end(&options);
    return status;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc && i < 3; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(plan_help, stdout);
            return PLAN_FINE;
        }
    static const char *const commands[] = {"pipeline", "all-reduce", "all-to-all", "send-recv"};
    for (size_t c = 0; argc > 1 && c < sizeof commands / sizeof *commands; c++)
        if (strcmp(argv[1], commands[c]) == 0)
            return run(commands[c], argc - 2, argv + 2);
    fputs(plan_help, stderr);
    return PLAN_USAGE;
}
