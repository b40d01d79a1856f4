// Products with frozen weights: the arithmetic of product_tile.h, built for each instruction set, and the choice among them.
#include "loops.h"

// For each row of y, counted over the pictures, the pixel of x that tap `tap` meets there: zeros outside.
static void gather_rows(const vector_product *p, const float *x, const float *zeros, size_t tap, size_t first,
                        size_t count, const float **rows) {
  const ptrdiff_t down = (ptrdiff_t)(tap / p->kernel), right = (ptrdiff_t)(tap % p->kernel);
  const ptrdiff_t stride = (ptrdiff_t)p->stride, padding = (ptrdiff_t)p->padding;
  const size_t pixels = p->out_height * p->out_width;
  size_t sample = first / pixels, column = first % p->out_width, line = first % pixels / p->out_width;
  for (size_t i = 0; i < count; ++i) {
    ptrdiff_t v, h;
    bool inside = true;
    if (p->backward) {
      v = (ptrdiff_t)line + padding - down;
      h = (ptrdiff_t)column + padding - right;
      inside = v % stride == 0 && h % stride == 0;
      v /= stride;
      h /= stride;
    } else {
      v = (ptrdiff_t)line * stride + down - padding;
      h = (ptrdiff_t)column * stride + right - padding;
    }
    inside = inside && v >= 0 && h >= 0 && v < (ptrdiff_t)p->height && h < (ptrdiff_t)p->width;
    rows[i] = inside ? x + ((sample * p->height + (size_t)v) * p->width + (size_t)h) * p->inputs : zeros;
    if (++column == p->out_width) {
      column = 0;
      if (++line == p->out_height) {
        line = 0;
        ++sample;
      }
    }
  }
}

// Brings finished sums home: bias, activation, residual and y's type.
STATIC_LOOP(void, finish,
            (const vector_product *p, const vector_epilogue *e, float *sums, size_t sums_row, void *y, vector_type type,
             size_t first, size_t count, size_t first_channel, size_t channels),
            (p, e, sums, sums_row, y, type, first, count, first_channel, channels)) {
  float as[block_size];
  const size_t pixels = p->out_height * p->out_width;
  for (size_t i = 0; i < count; ++i) {
    const size_t row = first + i;
    for (size_t c = 0; c < channels; c += block_size) {
      const size_t n = smaller(block_size, channels - c), at = row * p->outputs + first_channel + c;
      float *s = sums + i * sums_row + c;
      if (e->bias)
        for (size_t j = 0; j < n; ++j) s[j] += e->bias[first_channel + c + j];
      if (e->activation >= 0) vector_activate((vector_activation)e->activation, s, s, vector_float32, n);
      if (e->residual) {
        const size_t from = e->residual_is_row ? row / pixels * p->outputs + first_channel + c : at;
        const float *a = load(e->residual, type, from, n, as);
        for (size_t j = 0; j < n; ++j) s[j] += a[j];
      }
      if (type == vector_float32)
        memcpy((float *)y + at, s, n * sizeof(float));
      else
        store(y, type, at, n, s);
    }
  }
}

#define TILE "product_tile.h"
#include "each_instruction_set.h"

typedef struct {
  size_t width;
  void (*compute)(const vector_product *, const float *, const void *, const vector_epilogue *, void *, vector_type,
                  size_t, size_t, size_t, size_t, float *);
} instruction_set;

#define SET(suffix, width) {width, compute_##suffix}

static const instruction_set *chosen(void) {
  static const instruction_set sets[] = INSTRUCTION_SETS(SET);
  return &sets[chosen_set];
}

bool vector_product_is_fast(void) {
#ifdef __OPTIMIZE__
  return true;
#else
  return false;
#endif
}

size_t vector_product_panel(void) { return chosen()->width; }

static size_t panel_floats(const vector_product *p) { return p->kernel * p->kernel * p->inputs * chosen()->width; }

size_t vector_product_packed_bytes(const vector_product *p) {
  const size_t width = chosen()->width;
  return (p->outputs + width - 1) / width * panel_floats(p) * (p->weights == vector_float32 ? 4 : 2);
}

void vector_product_pack(const vector_product *p, const float *w, size_t output_stride, size_t input_stride,
                         size_t tap_stride, size_t panel, void *packed) {
  const size_t width = chosen()->width, taps = p->kernel * p->kernel, first = panel * width;
  float row[16];
  for (size_t tap = 0; tap < taps; ++tap)
    for (size_t c = 0; c < p->inputs; ++c) {
      for (size_t l = 0; l < width; ++l)
        row[l] = first + l < p->outputs ? w[(first + l) * output_stride + c * input_stride + tap * tap_stride] : 0;
      const size_t at = panel * panel_floats(p) + (tap * p->inputs + c) * width;
      if (p->weights == vector_float32)
        memcpy((float *)packed + at, row, width * sizeof(float));
      else
        store(packed, p->weights, at, width, row);
    }
}

static size_t depth(void) { return 2048 / chosen()->width; }

size_t vector_product_scratch_floats(const vector_product *p, size_t rows, size_t panels) {
  const size_t width = chosen()->width;
  // Sums, a block of weights, and a row of zeros.
  return rows * panels * width + 3 * width * depth() + (p->inputs + 15) / 16 * 16;
}

void vector_product_compute(const vector_product *p, const float *x, const void *packed,
                            const vector_epilogue *epilogue, void *y, vector_type type, size_t first, size_t count,
                            size_t first_panel, size_t panels, float *scratch) {
  chosen()->compute(p, x, packed, epilogue, y, type, first, count, first_panel, panels, scratch);
}
