// What the CPU backend asks of oneDNN, in plain C types: products of activations with frozen weights.
//
// oneDNN changed its C interface between 2.x and 3.x; this header looks the same over both. Three things are made here:
// an engine (one a backend), a layout (how a product likes its weights) and a product (a compiled primitive for one set of sizes).
// Every call returns an `onednn_status`; `onednn_error` says in words what failed last. An engine and what it made are driven by
// one thread at a time; a product spreads itself over oneDNN's own threads.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct onednn_engine onednn_engine;
typedef struct onednn_product onednn_product;

typedef enum {
  onednn_success = 0,
  onednn_out_of_memory,
  onednn_unimplemented,
  onednn_failure,
} onednn_status;

typedef enum { onednn_float32, onednn_float16, onednn_bfloat16 } onednn_element;

typedef enum {
  // y[rows, outputs] = x[rows, inputs] W + b, with W of [outputs, inputs]
  onednn_matmul,
  // y[rows, outputs] = x[rows, inputs] W + b, with W of [inputs, outputs]
  onednn_matmul_transposed,
  // y = x * W + b over NHWC, with W of [outputs, inputs, kernel, kernel]
  onednn_convolution,
  // the gradient of a convolution's input: `inputs`, `height` and `width` are dy's, `outputs` and `out_*` are dx's,
  // W is the convolution's own, [inputs, outputs, kernel, kernel], and there is no bias
  onednn_convolution_backward,
} onednn_operation;

// One product: the operation and its sizes. A matmul's rows are `batch`; the fields behind `outputs` are a convolution's.
typedef struct {
  onednn_operation operation;
  onednn_element element;  // of x, W and y; sums and b are float32
  bool has_bias;
  bool accumulates;  // adds the product to what y holds (not for onednn_convolution_backward)
  int64_t batch, inputs, outputs;
  int64_t height, width, out_height, out_width;
  int64_t kernel, stride, leading_padding, trailing_padding;
} onednn_shape;

void onednn_version(int *major, int *minor, int *patch);

onednn_status onednn_engine_create(onednn_engine **engine);
void onednn_engine_destroy(onednn_engine *engine);
const char *onednn_error(const onednn_engine *engine);

// The number of the layout that `shape` likes its weights in, and the bytes they take there. Equal layouts have equal
// numbers. `onednn_unimplemented` where the library has no fast code for `shape` on this machine.
onednn_status onednn_preferred_layout(onednn_engine *engine, const onednn_shape *shape, int *layout, size_t *bytes);

// Writes `weights`, float32 in the operation's plain order, to `packed` in the given layout.
onednn_status onednn_pack(onednn_engine *engine, const onednn_shape *shape, int layout, const float *weights,
                          void *packed);

// Compiles the product for weights in the given layout. `scratch_bytes` of memory, aligned to 64, are asked for at each execution.
onednn_status onednn_product_create(onednn_engine *engine, const onednn_shape *shape, int layout,
                                    onednn_product **product, size_t *scratch_bytes);
void onednn_product_destroy(onednn_product *product);

// y = x W + b. `bias` is read if the shape has one. All pointers are aligned to 64 bytes.
onednn_status onednn_execute(onednn_product *product, const void *x, const void *packed, const float *bias, void *y,
                             void *scratch);
