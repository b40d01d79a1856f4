import StableDiffusion
import Tensors

extension TrainingSettings {
  /// What the program takes where nothing but the word is said: spherical training at the model's own resolution until the word
  /// has settled.
  ///
  /// - Parameters:
  ///   - word: what stands in prompts, such as `<toy>`.
  ///   - initializer: a word or phrase near in meaning.
  ///   - precision: how activations and weights are stored; `.float16` suits a graphics card.
  /// - Throws: `UserError` where the word is none, or the model can't be read.
  public init(
    word: String, initializer: String, kind: ConceptKind = .object, on model: any ModelSource,
    precision: ElementType = .float32, method: TrainingMethod = .spherical
  ) throws(UserError) {
    self.init(
      placeholder: try Placeholder(word, vectors: method.defaults.vectors), initializer: initializer, kind: kind,
      resolution: try StableDiffusionModel(model).shape.resolution, precision: precision, method: method)
    if method.defaults.endsWhenSettled { stopWhenSettled() }
  }
}
