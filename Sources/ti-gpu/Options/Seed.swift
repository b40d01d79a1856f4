import ArgumentParser

/// What random draws come from: a whole number from 0, or -1 for any, which is then said, so that the result can be had again.
struct Seed: ExpressibleByArgument, ExpressibleByIntegerLiteral, CustomStringConvertible {
  /// The number; nil for any.
  private let number: UInt64?

  init?(argument: String) {
    number = UInt64(argument)
    if number == nil, argument != "-1" { return nil }
  }

  init(integerLiteral value: UInt64) { number = value }

  /// The number that was given, or a random one, said in a line; it fits the 32 bits that other programs take.
  func value() -> UInt64 {
    if let number { return number }
    let number = UInt64.random(in: 0...UInt64(UInt32.max))
    Console.note("Seed: \(number)")
    return number
  }

  var description: String { number.map(String.init) ?? "-1" }

  static let help = "a whole number from 0, below 2^64; -1 takes any and says which"
}
