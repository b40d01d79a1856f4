#include "kernels.h"

// The text of each source comes from the file at compile time; a new file needs a line here and one in the table.
static const char common_storage[] = {
#embed "Common/storage.cl"
};
static const char common_reduce[] = {
#embed "Common/reduce.cl"
};
static const char common_activation[] = {
#embed "Common/activation.cl"
};
static const char elementwise_convert[] = {
#embed "Elementwise/convert.cl"
};
static const char elementwise_activation[] = {
#embed "Elementwise/activation.cl"
};
static const char elementwise_geglu[] = {
#embed "Elementwise/geglu.cl"
};
static const char elementwise_upsample[] = {
#embed "Elementwise/upsample.cl"
};
static const char elementwise_concatenate_channels[] = {
#embed "Elementwise/concatenate_channels.cl"
};
static const char elementwise_sum[] = {
#embed "Elementwise/sum.cl"
};
static const char elementwise_mean_squared_error[] = {
#embed "Elementwise/mean_squared_error.cl"
};
static const char normalization_group_norm[] = {
#embed "Normalization/group_norm.cl"
};
static const char normalization_layer_norm[] = {
#embed "Normalization/layer_norm.cl"
};
static const char embedding_token_embedding[] = {
#embed "Embedding/token_embedding.cl"
};
static const char embedding_adamw[] = {
#embed "Embedding/adamw.cl"
};

#define SOURCE(name, text) {name, text, sizeof text}

static const KernelSource sources[] = {
    SOURCE("Common/storage.cl", common_storage),
    SOURCE("Common/reduce.cl", common_reduce),
    SOURCE("Common/activation.cl", common_activation),
    SOURCE("Elementwise/convert.cl", elementwise_convert),
    SOURCE("Elementwise/activation.cl", elementwise_activation),
    SOURCE("Elementwise/geglu.cl", elementwise_geglu),
    SOURCE("Elementwise/upsample.cl", elementwise_upsample),
    SOURCE("Elementwise/concatenate_channels.cl", elementwise_concatenate_channels),
    SOURCE("Elementwise/sum.cl", elementwise_sum),
    SOURCE("Elementwise/mean_squared_error.cl", elementwise_mean_squared_error),
    SOURCE("Normalization/group_norm.cl", normalization_group_norm),
    SOURCE("Normalization/layer_norm.cl", normalization_layer_norm),
    SOURCE("Embedding/token_embedding.cl", embedding_token_embedding),
    SOURCE("Embedding/adamw.cl", embedding_adamw),
};

KernelSource kernel_source_at(size_t index) {
  if (index < sizeof sources / sizeof *sources) return sources[index];
  return (KernelSource){0, 0, 0};
}
