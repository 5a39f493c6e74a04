// Owns: the same plans against several servers, in turn, and the medians of the rounds.
internal import Foundation

/// A server to compare.
package struct Contender: Sendable {
    package var name: String
    package var plan: BenchPlan
    package var processes: ServerProcesses?

    package init(name: String, plan: BenchPlan, processes: ServerProcesses?) {
        self.name = name
        self.plan = plan
        self.processes = processes
    }
}

/// One plan's results: of each contender, in their order, all rounds.
package struct ComparedPlan: Codable, Sendable {
    package var title: String
    package var rounds: [[BenchResult]]

    package var isGood: Bool { rounds.allSatisfy { $0.allSatisfy(\.isGood) } }

    /// The contender's median over the rounds; nil where it has none in any round.
    func median(_ contender: Int, _ figure: (BenchResult) -> Double?) -> Double? {
        let figures = rounds[contender].compactMap(figure).sorted()
        guard !figures.isEmpty else { return nil }
        let middle = figures.count / 2
        return figures.count % 2 == 1 ? figures[middle] : (figures[middle - 1] + figures[middle]) / 2
    }
}

package struct Comparison: Codable, Sendable {
    package var contenders: [String]
    package var plans: [ComparedPlan] = []

    package var isGood: Bool { plans.allSatisfy(\.isGood) }

    package init(contenders: [String]) { self.contenders = contenders }

    /// Runs one plan against all contenders, `rounds` times, each round in the other order.
    package mutating func add(
        _ contenders: [Contender], rounds: Int, report: @escaping @Sendable (BenchRun.Progress) -> Void,
        finished: (BenchResult) -> Void
    ) async throws {
        var runs: [BenchRun] = []
        var results: [[BenchResult]] = contenders.map { _ in [] }
        do {
            for contender in contenders {
                runs.append(
                    try await BenchRun.prepare(
                        contender.plan, name: contender.name, processes: contender.processes, report: report))
            }
            for round in 0..<rounds {
                let order = round % 2 == 0 ? Array(runs.indices) : runs.indices.reversed()
                for index in order {
                    let result = try await runs[index].measure()
                    results[index].append(result)
                    finished(result)
                }
            }
        } catch {
            for run in runs { try? await run.close() }
            throw error
        }
        for run in runs { try await run.close() }
        plans.append(ComparedPlan(title: contenders[0].plan.title, rounds: results))
    }
}
