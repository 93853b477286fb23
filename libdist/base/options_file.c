#include "base/options_parts.h"

#include <string.h>

#include "base/error.h"
#include "base/text_file.h"

typedef struct file_reader {
    dist_options *options;
    const char *path;
    int line;
    int set_on[DIST_OPTIONS]; /* the line that set an option; 0: none yet */
} file_reader;

static dist_status read_entry(file_reader *reader, const char *name, const char *value)
{
    char where[512];
    snprintf(where, sizeof where, "%s:%d", reader->path, reader->line);
    dist_option option = dist_option_find(name, strlen(name));
    if (option == DIST_OPTIONS)
        return dist_options_warn_unknown(reader->options, where, name, strlen(name));
    if (option == DIST_OPTION_CONFIG)
        return dist_options_warn(reader->options,
                                 "%s: DIST_CONFIG has no effect here: one configuration file cannot name "
                                 "another",
                                 where);
    if (reader->set_on[option])
        DIST_TRY(dist_options_warn(reader->options, "%s: %s was set on line %d already; the last line counts",
                                   where, name, reader->set_on[option]));
    reader->set_on[option] = reader->line;
    return dist_options_set(reader->options, option, value, DIST_FROM_FILE, where);
}

static dist_status take_line(void *context, int number, char *line)
{
    file_reader *reader = context;
    reader->line = number;
    char *equals = strchr(line, '=');
    if (!equals || equals == line)
        return dist_fail(DIST_ERR_CONFIG, "%s:%d: '%.80s' is not of the form NAME = value", reader->path,
                         number, line);
    *equals = '\0';
    return read_entry(reader, dist_trim(line), dist_trim(equals + 1));
}

dist_status dist_options_read_file(dist_options *options, const char *path)
{
    file_reader reader = {.options = options, .path = path};
    return dist_text_file_read(path, "the configuration file (DIST_CONFIG)", take_line, &reader);
}
