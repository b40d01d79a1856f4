import StableDiffusion

/// What the prompts of a picture say to the text encoders: in chunks, the negative prompt first where it has a part.
struct PicturePrompts {
  /// For each text encoder the chunks of each prompt, all prompts of as many.
  let chunks: [[[PromptChunk]]]
  /// What is cut, or done otherwise than the writer may expect, a line each.
  let warnings: [String]

  /// - Parameters:
  ///   - tokenizers: the text encoders' own, which know the learned words.
  ///   - words: the learned words by the names that `embedding:NAME` may call them, in lower case.
  init(_ settings: GenerationSettings, tokenizers: [CLIPTokenizer], words: [String: String]) {
    var texts = [(name: "prompt", text: settings.prompt)]
    var warnings: [String] = []
    if settings.isGuided {
      texts.insert(("negative prompt", settings.negativePrompt), at: 0)
    } else if !settings.negativePrompt.isEmpty {
      warnings.append(
        "the negative prompt is not used: a guidance of \(settings.guidance) is none, it begins above 1")
    }
    if settings.plainPrompts {
      let encoded = tokenizers.map { tokenizer in texts.map { tokenizer.plainChunk($0.text) } }
      for (text, encoded) in zip(texts, encoded.first ?? []) {
        if let cut = encoded.truncated {
          warnings.append("the \(text.name) is longer than \(encoded.chunk.count) tokens; this is left out: '\(cut)'")
        }
      }
      chunks = encoded.map { $0.map { [$0.chunk] } }
    } else {
      let prompts = texts.map { WeightedPrompt($0.text, words: words.values).naming(words) }
      for (text, prompt) in zip(texts, prompts) { warnings += prompt.warnings.map { "\(text.name): \($0)" } }
      let chunks = tokenizers.map { tokenizer in prompts.map { tokenizer.chunks($0) } }
      // A prompt that says less is followed by chunks that say nothing.
      let most = chunks.joined().map(\.count).max() ?? 0
      self.chunks = zip(tokenizers, chunks).map { tokenizer, prompts in
        prompts.map { $0 + Array(repeating: tokenizer.emptyChunk, count: most - $0.count) }
      }
    }
    self.warnings = warnings
  }

  /// The places of those tokens among a prompt's, counted from 1.
  static func places(of ids: Range<Int32>, in chunks: [PromptChunk]) -> [Int] {
    var before = 0
    var places: [Int] = []
    for chunk in chunks {
      places += chunk.ids.indices.filter { ids.contains(chunk.ids[$0]) }.map { before + $0 }
      before += chunk.ids.count - 2
    }
    return places
  }
}
