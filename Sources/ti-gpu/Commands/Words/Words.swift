import ArgumentParser

/// `ti-gpu words`: learned words as things.
struct Words: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Finds words for pictures; compares, blends and scales learned words, and says what they lie near.",
    discussion: """
        ti-gpu words find --model ./sd15 --images ./toy
        ti-gpu words nearest toy.safetensors --model ./sd15
        ti-gpu words blend cat.safetensors=catdog dog.safetensors catdog.safetensors
        ti-gpu words compare cat.safetensors dog.safetensors
        ti-gpu words scale toy.safetensors short.safetensors --model ./sd15
      """,
    subcommands: [WordsFind.self, WordsNearest.self, WordsBlend.self, WordsCompare.self, WordsScale.self])
}
