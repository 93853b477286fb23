/* The command line of those commands that run under MPI. */
#ifndef DIST_PERF_OPTIONS_H
#define DIST_PERF_OPTIONS_H

#include "perf.h"

/* Groups of flags. */
enum {
    PERF_FLAGS_SIZES = 1,       /* -b -e -f -i */
    PERF_FLAGS_RUN = 2,         /* -n -w */
    PERF_FLAGS_COLLECTIVE = 4,  /* what is called, and how */
    PERF_FLAGS_LINK = 8,        /* --wire --streams */
    PERF_FLAGS_BOUND = 16,      /* --link-rate */
    PERF_FLAGS_PAIR = 32,       /* --pair --window --via */
    PERF_FLAGS_TIME = 64,       /* --seconds */
    PERF_FLAGS_MATRIX = 128,    /* --level --slow --skew */
    PERF_FLAGS_MOST = 256,      /* --max-streams */
    PERF_FLAGS_TUNING = 512,    /* --tuning FILE is written */
    PERF_FLAGS_FILES = 1024,    /* -J --csv --svg */
    PERF_FLAGS_THRESHOLD = 2048 /* --min-bw */
};

/* Fills options from the words after the command. PERF_USAGE with a sentence on stderr (where `speak`), PERF_FINE after --help, or -1
 * to go on. */
int perf_options_read(perf_options *options, const perf_command *command, int argc, char **argv, bool speak);

/* What a command is for, its flags with their defaults, its columns, and exit statuses. */
void perf_print_help(const perf_command *command, FILE *file);

#endif
