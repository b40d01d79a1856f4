#include "kernels.h"

// The text of each source comes from the file at compile time; a new file needs a line here and one in the table.
static const char common_attributes[] = {
#embed "Common/attributes.cl"
};
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
static const char elementwise_pixel_sum[] = {
#embed "Elementwise/pixel_sum.cl"
};
static const char elementwise_prediction_loss[] = {
#embed "Elementwise/prediction_loss.cl"
};
static const char normalization_group_norm[] = {
#embed "Normalization/group_norm.cl"
};
static const char normalization_layer_norm[] = {
#embed "Normalization/layer_norm.cl"
};
static const char embedding_token_selection[] = {
#embed "Embedding/token_selection.cl"
};
static const char embedding_token_embedding[] = {
#embed "Embedding/token_embedding.cl"
};

static const char matmul_tile_gpu[] = {
#embed "Matmul/tile_gpu.cl"
};
static const char matmul_tile_cpu[] = {
#embed "Matmul/tile_cpu.cl"
};
static const char matmul_block_cpu[] = {
#embed "Matmul/block_cpu.cl"
};
static const char matmul_gpu[] = {
#embed "Matmul/matmul_gpu.cl"
};
static const char matmul_cpu[] = {
#embed "Matmul/matmul_cpu.cl"
};
static const char matmul_pack_weights[] = {
#embed "Matmul/pack_weights.cl"
};
static const char convolution_gpu[] = {
#embed "Convolution/convolution_gpu.cl"
};
static const char convolution_cpu[] = {
#embed "Convolution/convolution_cpu.cl"
};
static const char attention_shared[] = {
#embed "Attention/attention_shared.cl"
};
static const char attention_gpu[] = {
#embed "Attention/attention_gpu.cl"
};
static const char attention_cpu[] = {
#embed "Attention/attention_cpu.cl"
};

#define SOURCE(name, text) {name, text, sizeof text}

static const KernelSource sources[] = {
    SOURCE("Common/attributes.cl", common_attributes),
    SOURCE("Common/storage.cl", common_storage),
    SOURCE("Common/reduce.cl", common_reduce),
    SOURCE("Common/activation.cl", common_activation),
    SOURCE("Elementwise/convert.cl", elementwise_convert),
    SOURCE("Elementwise/activation.cl", elementwise_activation),
    SOURCE("Elementwise/geglu.cl", elementwise_geglu),
    SOURCE("Elementwise/upsample.cl", elementwise_upsample),
    SOURCE("Elementwise/concatenate_channels.cl", elementwise_concatenate_channels),
    SOURCE("Elementwise/sum.cl", elementwise_sum),
    SOURCE("Elementwise/pixel_sum.cl", elementwise_pixel_sum),
    SOURCE("Elementwise/prediction_loss.cl", elementwise_prediction_loss),
    SOURCE("Normalization/group_norm.cl", normalization_group_norm),
    SOURCE("Normalization/layer_norm.cl", normalization_layer_norm),
    SOURCE("Embedding/token_selection.cl", embedding_token_selection),
    SOURCE("Embedding/token_embedding.cl", embedding_token_embedding),
    SOURCE("Matmul/tile_gpu.cl", matmul_tile_gpu),
    SOURCE("Matmul/tile_cpu.cl", matmul_tile_cpu),
    SOURCE("Matmul/block_cpu.cl", matmul_block_cpu),
    SOURCE("Matmul/matmul_gpu.cl", matmul_gpu),
    SOURCE("Matmul/matmul_cpu.cl", matmul_cpu),
    SOURCE("Matmul/pack_weights.cl", matmul_pack_weights),
    SOURCE("Convolution/convolution_gpu.cl", convolution_gpu),
    SOURCE("Convolution/convolution_cpu.cl", convolution_cpu),
    SOURCE("Attention/attention_shared.cl", attention_shared),
    SOURCE("Attention/attention_gpu.cl", attention_gpu),
    SOURCE("Attention/attention_cpu.cl", attention_cpu),
};

KernelSource kernel_source_at(size_t index) {
  if (index < sizeof sources / sizeof *sources) return sources[index];
  return (KernelSource){0, 0, 0};
}
