import StableDiffusion
import Tensors

/// When a run draws pictures with the word, and of what. Kept in `training.json`; a run's numbers do not depend on it.
public struct PreviewPolicy: Sendable, Hashable, Codable {
  /// Steps from one round of previews to the next; nil for one at the end where prompts are given, else for none but those that
  /// are asked for.
  public var every: Int?
  /// One picture each, `{}` standing for the word, of several for each in turn; the first sentence of the kind's own where there are none.
  public var prompts: [String]
  public var negativePrompt: String

  public init(every: Int? = nil, prompts: [String] = [], negativePrompt: String = "") {
    self.every = every
    self.prompts = prompts
    self.negativePrompt = negativePrompt
  }

  private static let sampler = SamplerKind.dpmSolverPP2M
  private static let samplerSteps = 15
  /// More than anybody looks at.
  private static let mostPrompts = 64

  /// Whether a run draws any that nobody has to ask for.
  var isOn: Bool { every != nil || !prompts.isEmpty }

  /// Whether a round is due behind step `step` of `steps`.
  func isDue(_ step: Int, of steps: Int) -> Bool { isOn && (step == steps || every.map { step % $0 == 0 } ?? false) }

  /// Throws `UserError(.usage)` for a number out of range, or for prompts that no preview is drawn of.
  public func validate() throws(UserError) {
    if let every, every < 1 { throw UserError(.usage, "--preview-every must be at least 1, not \(every)") }
    if prompts.count > Self.mostPrompts {
      throw UserError(.usage, "--preview-prompt: \(prompts.count) prompts are more than \(Self.mostPrompts)")
    }
    if prompts.contains(where: { $0.allSatisfy(\.isWhitespace) }) {
      throw UserError(.usage, "--preview-prompt: an empty prompt shows nothing of the word; name it in one")
    }
  }

  /// Throws `.usage` or `.badData` where the model's schedule does not allow what previews are drawn by.
  func check(_ model: StableDiffusionModel) throws(UserError) {
    _ = try model.sampler(Self.sampler, steps: Self.samplerSteps)
  }

  /// One picture a prompt, and of one with `{}` one a taught word. Seeds are the prompts' numbers, from 0, in every run: pictures of two
  /// runs, of two steps and of two words differ by the word alone.
  func pictures(of settings: TrainingSettings) -> [GenerationSettings] {
    let prompts = prompts.isEmpty ? Array(settings.kind.templates.prefix(1)) : prompts
    let words = settings.taughtWords
    return prompts.enumerated().flatMap { index, prompt in
      words.prefix(prompt.contains(PromptTemplates.placeholder) ? words.count : 1).map { word in
        var drawn = GenerationSettings(
          prompt: PromptTemplates.filled(prompt, with: word), width: settings.resolution, height: settings.resolution)
        drawn.negativePrompt = negativePrompt.isEmpty ? settings.negativeWord?.placeholder.word ?? "" : negativePrompt
        drawn.sampler = Self.sampler
        drawn.steps = Self.samplerSteps
        drawn.seed = UInt64(index)
        return drawn
      }
    }
  }
}
