// The look of a run's report and the script of its live page, embedded in the binary. UTF-8, not terminated by zero.
#ifndef TI_GPU_REPORT_STYLE_H
#define TI_GPU_REPORT_STYLE_H

#include <stddef.h>

// report.css
const char *report_style(size_t *length);
// live.js
const char *report_live_script(size_t *length);

#endif
