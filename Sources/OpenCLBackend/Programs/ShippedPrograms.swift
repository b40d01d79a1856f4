import Operators

/// Every program that a GPU may be asked to build for Stable Diffusion 1.x and 2.x: what `Tools/gpu-check` compiles for chips
/// that are not here. It reads the table from `Tools/gpu-check/programs.txt`; a test holds the file to this list.
enum ShippedPrograms {
  static let all: [any KernelParameters] =
    GroupTile.shipped.map { LinearGroupParameters(tile: $0, activation: nil) }
    + Activation.allCases.map { LinearGroupParameters(tile: .small, activation: $0) }
    + GroupTile.shipped.map { ConvolutionGroupParameters(tile: $0) }
    + AttentionGroupParameters.shippedHeadDimensions.map { AttentionGroupParameters(headDimension: $0) }
    + [PackParameters(), ConvertParameters(), SumParameters(), MeanSquaredErrorParameters()]
    + [TokenEmbeddingParameters()]
    + Activation.allCases.map { ActivationParameters(activation: $0) }
    + [8, 1].flatMap { channels -> [any KernelParameters] in
      let vector = ChannelVector(dividing: channels)
      return [
        GEGLUParameters(vector: vector), UpsampleParameters(vector: vector),
        ConcatenateChannelsParameters(vector: vector),
        GroupNormParameters(vector: vector, activation: nil), GroupNormParameters(vector: vector, activation: .silu),
        LayerNormParameters(vector: vector),
      ]
    }

  /// A line a program: its sources, the shared ones first, and its defines.
  static var table: String {
    all.map { parameters in
      func line<Parameters: KernelParameters>(_ parameters: Parameters) -> String {
        let sources = EmbeddedSources.common + Parameters.sharedSources + [Parameters.source]
        return sources.joined(separator: " ") + " :" + parameters.defines.map { " \($0.name)=\($0.value)" }.joined()
      }
      return line(parameters) + "\n"
    }.joined()
  }
}
