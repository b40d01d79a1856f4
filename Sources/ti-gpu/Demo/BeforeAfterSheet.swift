import DemoModel
import Images
import Operators
import TextualInversion

/// The demo's sheet: the training pictures, then the same prompts and seeds with the plain word and with the learned one.
struct BeforeAfterSheet {
  let concept: DemoConcept
  let word: String

  /// What the demo model's pictures are made with.
  private static let guidance: Float = 5

  /// The backgrounds asked for; the last is none of the training pictures'.
  private var backgrounds: [String] {
    switch concept {
    case .myCat: ["red", "green", "blue", "purple", "black", "yellow"]
    case .nightTree: ["red", "green", "white", "yellow", "black", "purple"]
    case .rocketToy: ["red", "green", "blue", "white", "pink", "black"]
    case .lineStyle: ["purple", "green", "blue", "white", "pink", "black"]
    }
  }

  /// A prompt with `subject` in the concept's place.
  private func prompt(_ subject: String, background: String) -> String {
    switch concept {
    case .lineStyle: "a picture of a red star on a \(background) background, \(subject)"
    default: "a photo of a \(subject) on a \(background) background"
    }
  }

  /// Makes the pictures and lays them out.
  func picture<B: Backend>(
    training: [Picture], generator: Generator<B>, seed: UInt64, shouldStop: () -> Bool
  ) throws -> Picture {
    let subjects = [concept.recipe.initializer, word]
    let progress = ProgressLine(total: subjects.count * backgrounds.count)
    var rows: [[Picture]] = []
    for (row, subject) in subjects.enumerated() {
      var pictures: [Picture] = []
      for (column, background) in backgrounds.enumerated() {
        var settings = GenerationSettings(
          prompt: prompt(subject, background: background), width: generator.nativeSide, height: generator.nativeSide)
        settings.guidance = Self.guidance
        settings.seed = seed &+ UInt64(column)
        pictures.append(try generator.picture(settings, shouldStop: shouldStop))
        progress.update(row * backgrounds.count + column + 1, "pictures")
      }
      rows.append(pictures)
    }
    return ContactSheet(
      title: "\(word), learned from the pictures in the first row",
      rows: [
        .init("pictures", training),
        .init("before", rows[0], captions: backgrounds.map { prompt(subjects[0], background: $0) }),
        .init("after", rows[1], captions: backgrounds.map { prompt(subjects[1], background: $0) }),
      ]
    ).picture
  }
}
