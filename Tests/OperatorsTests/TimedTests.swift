import CPUBackend
import Operators
import Tensors
import Testing

/// The decorator changes no number and knows which part of a model was at work, forward or backward. (That every operation goes to
/// its like is held by `TestBackends`, which has a timed one: the plain loops are the truth.)
@Suite struct TimedTests {
  @Test func phasesAreThePartsAndDirectionsInTheirOrder() throws {
    let backend = try CPUBackend()
    let times = PhaseTimes()
    let a = Timed(backend, part: "a", times: times)
    let b = Timed(backend, part: "b", times: times)
    let x = try a.upload(HostTensor([2], [-1, 2]), as: .float32)
    #expect(times.phases.isEmpty, "nothing is taken before it is asked for")

    times.isTaken = true
    let clock = ContinuousClock.now
    let again = try a.upload(HostTensor([2], [-1, 2]), as: .float32)
    let y = try b.forward(Activation.silu, a.forward(Activation.silu, again))
    let dy = try a.backwardInput(Activation.silu, y, x: x)
    _ = try a.add(dy, dy)
    _ = try b.backwardInput(Activation.silu, dy, x: y)
    _ = try b.download(b.add(dy, dy))
    _ = try a.forward(Activation.silu, x)
    try times.end(on: backend)
    let all = clock.duration(to: .now) / .seconds(1)
    #expect(times.phases.map(\.name) == ["a forward", "b forward", "a backward", "b backward"])
    #expect(times.phases.allSatisfy { $0.seconds > 0 })
    #expect(times.phases.reduce(0) { $0 + $1.seconds } <= all)
  }
}
