#include "report_style.h"

static const char style[] = {
#embed "report.css"
};

static const char live_script[] = {
#embed "live.js"
};

const char *report_style(size_t *length) {
  *length = sizeof style;
  return style;
}

const char *report_live_script(size_t *length) {
  *length = sizeof live_script;
  return live_script;
}
