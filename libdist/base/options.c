#define _POSIX_C_SOURCE 200809L /* strdup */

#include "base/options_parts.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

const dist_option_row dist_option_table[DIST_OPTIONS] = {
#define OPTION_ROW(id, name, kind, value, help) [id] = {name, DIST_KIND_##kind, value, help},
    DIST_OPTION_LIST(OPTION_ROW)
#undef OPTION_ROW
};

static dist_status no_memory(void)
{
    return dist_fail(DIST_ERR_MEMORY, "no memory for the option table");
}

dist_status dist_options_set(dist_options *options, dist_option option, const char *text,
                             dist_option_source source, const char *where)
{
    const dist_option_row *row = &dist_option_table[option];
    if (*text == '\0' && source != DIST_FROM_DEFAULT)
        return DIST_OK;
    double number;
    if (!dist_option_parse(row->kind, text, &number)) {
        if (source == DIST_FROM_FILE)
            return dist_fail(DIST_ERR_CONFIG, "%s: %s is '%.80s', but it must be %s", where, row->name, text,
                             dist_option_allowed(row->kind));
        return dist_fail(DIST_ERR_CONFIG, "%s is '%.80s' in %s, but it must be %s", row->name, text, where,
                         dist_option_allowed(row->kind));
    }
    char *copy = strdup(text);
    if (!copy)
        return no_memory();
    free(options->value[option].text);
    options->value[option] = (dist_option_value){copy, number, source};
    return DIST_OK;
}

dist_status dist_options_warn(dist_options *options, const char *format, ...)
{
    char line[DIST_ERROR_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    size_t used = strlen(options->warnings), size = used + strlen(line) + 2;
    char *grown = realloc(options->warnings, size);
    if (!grown)
        return no_memory();
    options->warnings = grown;
    snprintf(grown + used, size - used, "%s\n", line);
    return DIST_OK;
}

dist_status dist_options_warn_unknown(dist_options *options, const char *where, const char *name,
                                      size_t length)
{
    const char *colon = *where ? ": " : "";
    int shown = length < 80 ? (int)length : 80;
    dist_option near = dist_option_near(name, length);
    if (near == DIST_OPTIONS)
        return dist_options_warn(options, "%s%s%.*s is not an option of libdist", where, colon, shown, name);
    return dist_options_warn(options, "%s%s%.*s is not an option of libdist; did you mean %s?", where, colon,
                             shown, name, dist_option_table[near].name);
}

/* Like getenv, but of the environment that the caller gave: the first entry counts. */
static const char *environment_text(char *const *environment, const char *name)
{
    size_t length = strlen(name);
    for (char *const *entry = environment; entry && *entry; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    }
    return "";
}

static const char *api_text(const char *const *api, dist_option option)
{
    return api && api[option] ? api[option] : "";
}

static dist_status warn_environment(dist_options *options, char *const *environment)
{
    for (char *const *entry = environment; entry && *entry; entry++) {
        size_t length = strcspn(*entry, "=");
        if (strncmp(*entry, "DIST_", 5) == 0 && dist_option_find(*entry, length) == DIST_OPTIONS)
            DIST_TRY(dist_options_warn_unknown(options, "", *entry, length));
    }
    return DIST_OK;
}

/* Which file to read must be known before the file is read. */
static dist_status read_configuration(dist_options *options, const char *const *api, char *const *environment)
{
    const char *path = api_text(api, DIST_OPTION_CONFIG);
    if (*path == '\0')
        path = environment_text(environment, dist_option_table[DIST_OPTION_CONFIG].name);
    return *path == '\0' ? DIST_OK : dist_options_read_file(options, path);
}

/* Later sources override earlier ones; each is checked, so that a wrong value is found even when overridden.
 */
dist_status dist_options_begin(dist_options *options, const char *const *api, char *const *environment)
{
    *options = (dist_options){.warnings = strdup("")};
    if (!options->warnings)
        return no_memory();
    for (int i = 0; i < DIST_OPTIONS; i++)
        DIST_TRY(dist_options_set(options, (dist_option)i, dist_option_table[i].value, DIST_FROM_DEFAULT,
                                  "the defaults"));
    DIST_TRY(read_configuration(options, api, environment));
    for (int i = 0; i < DIST_OPTIONS; i++) {
        const char *text = environment_text(environment, dist_option_table[i].name);
        DIST_TRY(dist_options_set(options, (dist_option)i, text, DIST_FROM_ENVIRONMENT, "the environment"));
    }
    for (int i = 0; i < DIST_OPTIONS; i++)
        DIST_TRY(dist_options_set(options, (dist_option)i, api_text(api, (dist_option)i), DIST_FROM_API,
                                  "the program's options"));
    return warn_environment(options, environment);
}

void dist_options_end(dist_options *options)
{
    for (int i = 0; i < DIST_OPTIONS; i++)
        free(options->value[i].text);
    free(options->warnings);
    *options = (dist_options){.warnings = NULL};
}

static const char *source_name(dist_option_source source)
{
    switch (source) {
    case DIST_FROM_DEFAULT:
        return "default";
    case DIST_FROM_FILE:
        return "file";
    case DIST_FROM_ENVIRONMENT:
        return "environment";
    case DIST_FROM_API:
        return "program";
    }
    return "unknown";
}

void dist_options_write(const dist_options *options, FILE *file)
{
    for (int i = 0; i < DIST_OPTIONS; i++) {
        const dist_option_value *value = &options->value[i];
        fprintf(file, "%-16s %-16s %-11s  %s\n", dist_option_table[i].name,
                *value->text ? value->text : "\"\"", source_name(value->source), dist_option_table[i].help);
    }
    fputs(options->warnings, file);
}
