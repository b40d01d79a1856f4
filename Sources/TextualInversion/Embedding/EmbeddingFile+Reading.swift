import Foundation
import ModelFiles
import Tensors

extension EmbeddingFile {
  /// Reads the words of a file of safetensors or of `torch.save`; which of them, its content tells and not its name. A single
  /// vector may stand without its first axis.
  ///
  /// | form | the word |
  /// |---|---|
  /// | diffusers, `{word: rows}` | the tensor's name |
  /// | kohya's scripts, `{"emb_params": rows}`; ComfyUI, `{"clip_l": rows}` | the file's name without its ending |
  /// | the web UIs, `{"string_to_param": {"*": rows}, "name": word}` | `name`, else the file's name |
  ///
  /// - Parameter word: what to write in prompts, in place of the file's own word.
  /// - Throws: `UserError(.noInput)` for a missing file; `.badData` for anything that is not one word's rows, for rows that are
  ///   no numbers and for a word that can't stand in a prompt; `.usage` for a `word` that can't.
  public static func read(_ url: URL, word renamed: String? = nil) throws(UserError) -> [EmbeddingFile] {
    if let renamed, !canStandInPrompts(renamed) {
      throw UserError(
        .usage, "\(quoted(renamed)) can't be a word of prompts", remedy: "give one without blanks: '<toy>'")
    }
    let content = try TorchFile.isOne(url) ? Content(TorchFile(url)) : Content(SafetensorsFile(url))
    let name = try content.name(url)
    let tensor = try content.read(name)
    guard tensor.shape.rank == 2 || tensor.shape.rank == 1, tensor.shape.count > 0 else {
      throw UserError(.badData, at: [.file(url), .tensor(name)], "is \(tensor.shape), not [vectors, width]")
    }
    guard tensor.isFinite else {
      throw UserError(
        .badData, at: [.file(url), .tensor(name)], "holds NaN or infinity", remedy: retraining)
    }
    let own =
      content.word ?? (namesOfNoWord.contains(name) ? url.deletingPathExtension().lastPathComponent : name)
    let rows = tensor.reshaped([tensor.shape.rows, tensor.shape.channels])
    let file = EmbeddingFile(word: renamed ?? own, rows: [.textEncoder: rows], url: url)
    guard canStandInPrompts(file.word) else {
      throw UserError(
        .badData, at: .file(url), "its word, \(quoted(file.word)), can't stand in a prompt", remedy: file.renaming)
    }
    return [file]
  }

  /// How to call the file's word otherwise.
  var renaming: String { "give it another: --embedding '\(url?.path ?? "FILE")=<toy>'" }

  private static func canStandInPrompts(_ word: String) -> Bool {
    !word.isEmpty && word != "*" && !word.contains(where: \.isWhitespace)
  }

  /// What files call a tensor by that say nothing of its word.
  private static let namesOfNoWord: Set<String> = ["emb_params", "clip_l", "*"]

  /// What else files hold, by a name that tells it. The first that fits counts.
  private static let otherForms: [(sign: @Sendable (String) -> Bool, what: String)] = [
    ({ $0 == "clip_g" }, "an embedding for SDXL's two text encoders"),
    ({ $0 == "emp_params" }, "an embedding of the form 'emp_params'"),
    ({ $0.hasPrefix("bundle_emb.") }, "a bundle of a LoRA and words"),
    ({ $0.hasPrefix("lora_") || $0.contains(".lora") }, "a LoRA"),
    (
      { name in ["text_model.", "model.", "cond_stage_model.", "state_dict"].contains { name.hasPrefix($0) } },
      "a model"
    ),
    ({ $0.hasPrefix("rows.") || $0.hasPrefix("optimizer.") }, "a checkpoint of a training run"),
  ]

  /// A file's tensors, whichever its format.
  private struct Content {
    let names: [String]
    /// The word that the file itself names.
    var word: String?
    let read: (String) throws(UserError) -> HostTensor

    init(_ file: SafetensorsFile) {
      names = file.names
      read = { name throws(UserError) in try file.tensor(name, mustBeFinite: false) }
    }

    init(_ file: TorchFile) {
      let parameters = file.value["string_to_param"]
      var tensors: [String: PickledTensor] = [:]
      if case .dictionary(let pairs) = parameters ?? file.value {
        for case (.text(let name), .tensor(let tensor)) in pairs { tensors[name] = tensor }
      }
      if parameters != nil, case .text(let name)? = file.value["name"], !name.isEmpty { word = name }
      names = tensors.keys.sorted()
      read = { [tensors] name throws(UserError) in
        guard let tensor = tensors[name] else {
          throw UserError(.badData, at: .file(file.url), "lacks \(quoted(name))")
        }
        return try file.tensor(tensor)
      }
    }

    /// The name of the one tensor; throws `badData` that says what the file is where it has others.
    func name(_ url: URL) throws(UserError) -> String {
      let remedy = "name a file of one word's rows"
      for form in EmbeddingFile.otherForms where names.contains(where: form.sign) {
        throw UserError(.badData, at: .file(url), "is \(form.what), which can't be read as a word", remedy: remedy)
      }
      guard let name = names.first, names.count == 1 else {
        let held = names.isEmpty ? "" : ": " + names.prefix(3).map(quoted).joined(separator: ", ")
        let more = names.count > 3 ? ", ..." : ""
        throw UserError(
          .badData, at: .file(url), "holds \(names.count) tensors, not one word's\(held)\(more)", remedy: remedy)
      }
      return name
    }
  }
}
