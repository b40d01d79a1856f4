import ArgumentParser

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

  /// A message about the first word that is no command or no option of its command, with the nearest that is; nil where
  /// there is none. The parser would rather say which required option is missing, misspelled as it may be.
  var unknownWord: String? {
    guard let name = words.first else { return nil }
    let commands = TIGPU.configuration.subcommands
    guard let command = commands.first(where: { $0._commandName == name }) else {
      let names = commands.map { $0._commandName }
      if name.hasPrefix("-") || name == "help" { return nil }
      let nearest = name.nearest(of: names)
      return "there is no command '\(name)'; "
        + (nearest.map { "did you mean '\($0)'?" } ?? "there are \(names.joined(separator: ", "))")
    }
    let known = Self.optionNames(of: command)
    for word in options where word.hasPrefix("--") {
      let option = String(word.prefix { $0 != "=" })
      guard !known.contains(option) else { continue }
      let nearest = option.nearest(of: known)
      return "there is no option '\(option)' of '\(name)'; "
        + (nearest.map { "did you mean '\($0)'?" } ?? "'ti-gpu help \(name)' shows them")
    }
    return nil
  }

  /// The names of a command's options, as its help lists them: `  --fit <fit>  ...`, `  --flip/--no-flip  ...`.
  private static func optionNames(of command: any ParsableCommand.Type) -> [String] {
    TIGPU.helpMessage(for: command, columns: 1000).split(separator: "\n").filter { $0.hasPrefix("  -") }.flatMap {
      line in
      line.split { !$0.isLetter && !$0.isNumber && $0 != "-" }.prefix { $0.hasPrefix("-") }.map(String.init)
    }
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
