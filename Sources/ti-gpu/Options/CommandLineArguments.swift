import ArgumentParser
import Foundation

/// The program's arguments as they are handed to the parser.
struct CommandLineArguments {
  /// A negative number is joined to the option before it, `--seed=-1`: by itself it would be read as an option.
  let words: [String]

  init(_ arguments: some Sequence<String>) {
    var words: [String] = []
    for word in arguments {
      if word.hasPrefix("-"), Double(word) != nil, let option = words.last, option.hasPrefix("--"),
        option.count > 2, !option.contains("=")
      {
        words[words.count - 1] = option + "=" + word
      } else {
        words.append(word)
      }
    }
    self.words = words
  }

  /// What stands before `--`, behind which nothing is an option.
  private var options: ArraySlice<String> { words.prefix { $0 != "--" } }

  /// Whether the result is wanted as JSON, and so an error, too: known even where the arguments can't be parsed.
  var wantsJSON: Bool { options.contains("--json") }

  /// The command that the words name, with the words that name it: `words`, `blend`. The program itself where they name none.
  private var command: (type: any ParsableCommand.Type, path: [String]) {
    var (type, path): (any ParsableCommand.Type, [String]) = (TIGPU.self, [])
    for word in words.drop(while: { $0 == "help" }) {
      guard let next = type.configuration.subcommands.first(where: { $0._commandName == word }) else { break }
      (type, path) = (next, path + [word])
    }
    return (type, path)
  }

  /// A message about a command that is none, with the nearest that is one; nil where the command is known.
  var unknownCommand: String? {
    let (type, path) = command
    let names = type.configuration.subcommands.map { $0._commandName }
    guard !names.isEmpty, let name = words.drop(while: { $0 == "help" }).dropFirst(path.count).first,
      !name.hasPrefix("-"), name != "help"
    else { return nil }
    let nearest = name.nearest(of: names)
    return "there is no command '\((path + [name]).joined(separator: " "))'; "
      + (nearest.map { "did you mean '\((path + [$0]).joined(separator: " "))'?" }
        ?? "there are \(names.joined(separator: ", "))")
  }

  /// A message about the first word that is no option of its command, with the one that is meant; nil where there is none.
  /// The parser would rather say which required option is missing, misspelled as it may be.
  var unknownOption: String? {
    let (type, path) = command
    guard !path.isEmpty else { return nil }
    let name = path.joined(separator: " ")
    let known = Self.optionNames(of: type)
    for word in options where word.hasPrefix("--") {
      let option = String(word.prefix { $0 != "=" })
      guard !known.contains(option) else { continue }
      let hint: String
      if let meant = Self.elsewhere[option.replacingOccurrences(of: "-", with: "_")], known.contains(meant) {
        hint = "here it is '\(meant)'"
      } else if let nearest = option.nearest(of: known) {
        hint = "did you mean '\(nearest)'?"
      } else {
        hint = "'ti-gpu help \(name)' shows them"
      }
      return "there is no option '\(option)' of '\(name)'; \(hint)"
    }
    return nil
  }

  /// A message about a word that belongs to no option of a command that takes options alone; nil where there is none. The
  /// parser would rather say what is missing.
  var strayWord: String? {
    let (type, path) = command
    guard !path.isEmpty, type.configuration.subcommands.isEmpty,
      !TIGPU.helpMessage(for: type, columns: 1000).contains("\nARGUMENTS:")
    else { return nil }
    let valued = Self.valuedOptions(of: type)
    var before = ""
    for word in options.dropFirst(path.count) {
      if !word.hasPrefix("-"), !valued.contains(before) {
        let name = path.joined(separator: " ")
        return "'\(word)' belongs to no option of '\(name)'; 'ti-gpu help \(name)' shows them"
      }
      before = word
    }
    return nil
  }

  /// What diffusers' and kohya's scripts and the web UIs call our options, where a slip of the hand would not explain it.
  private static let elsewhere = [
    "pretrained_model_name_or_path": "--model", "ckpt": "--model", "train_data_dir": "--images",
    "instance_data_dir": "--images", "shuffle_caption": "--caption-shuffle", "keep_tokens": "--caption-keep",
    "caption_dropout_rate": "--caption-dropout", "prompt_template_file": "--templates", "data_root": "--images",
    "placeholder_token": "--token", "token_string": "--token",
    "initializer_token": "--initializer", "init_word": "--initializer", "num_vectors": "--vectors",
    "num_vectors_per_token": "--vectors", "learnable_property": "--kind", "max_train_steps": "--steps",
    "num_inference_steps": "--steps", "train_batch_size": "--batch-size", "num_images": "--count",
    "num_images_per_prompt": "--count", "gradient_accumulation_steps": "--accumulate", "lr": "--learning-rate",
    "lr_scheduler": "--schedule", "lr_warmup_steps": "--warmup", "output_dir": "--output", "outdir": "--output",
    "resume_from_checkpoint": "--resume", "mixed_precision": "--precision", "checkpointing_steps": "--checkpoint-every",
    "save_steps": "--checkpoint-every", "save_every_n_steps": "--checkpoint-every", "center_crop": "--fit",
    "flip_aug": "--flip", "guidance_scale": "--guidance", "cfg_scale": "--guidance", "scheduler": "--sampler",
    "W": "--width", "H": "--height", "min_snr_gamma": "--min-snr", "snr_gamma": "--min-snr", "huber_c": "--huber",
    "max_grad_norm": "--max-gradient-norm", "min_timestep": "--timesteps", "max_timestep": "--timesteps",
    "optimizer_type": "--method",
  ].reduce(into: [:]) { $0["__" + $1.key] = $1.value }

  /// The names of a command's options, as its help lists them: `  --fit <fit>  ...`, `  --flip/--no-flip  ...`.
  private static func optionNames(of command: any ParsableCommand.Type) -> [String] {
    optionLines(of: command).flatMap(names)
  }

  /// The names of those that take a value.
  private static func valuedOptions(of command: any ParsableCommand.Type) -> [String] {
    optionLines(of: command).filter { line in
      line.dropFirst(2).firstRange(of: "  ").map { line[..<$0.lowerBound].contains("<") } ?? line.contains("<")
    }.flatMap(names)
  }

  private static func optionLines(of command: any ParsableCommand.Type) -> [Substring] {
    TIGPU.helpMessage(for: command, columns: 1000).split(separator: "\n").filter { $0.hasPrefix("  -") }
  }

  private static func names(_ line: Substring) -> [String] {
    line.split { !$0.isLetter && !$0.isNumber && $0 != "-" }.prefix { $0.hasPrefix("-") }.map(String.init)
  }
}

extension String {
  /// The word that differs in the fewest letters, if those are few enough for a slip.
  fileprivate func nearest(of words: [String]) -> String? {
    let nearest = words.map { (word: $0, distance: distance(to: $0)) }.min { $0.distance < $1.distance }
    return nearest.flatMap { $0.distance <= 3 && $0.distance * 2 <= count ? $0.word : nil }
  }

  /// How many letters have to be put in, taken out or exchanged to make `other` of it (Levenshtein's distance).
  private func distance(to other: String) -> Int {
    let other = Array(other)
    var row = Array(0...other.count)
    for (index, letter) in enumerated() {
      var diagonal = row[0]
      row[0] = index + 1
      for (column, otherLetter) in other.enumerated() {
        let change = diagonal + (letter == otherLetter ? 0 : 1)
        diagonal = row[column + 1]
        row[column + 1] = Swift.min(change, diagonal + 1, row[column] + 1)
      }
    }
    return row[other.count]
  }
}
