// Owns: durations as people read them in the log: `12ms`, `1.25s`, `29.2s`, `4m10s`, `3h05m`.

extension Duration {
    /// With three digits that matter, at most.
    package var brief: String {
        let (seconds, attoseconds) = components
        // Beyond what microseconds can count.
        if seconds.magnitude > 1_000_000_000_000 { return "\(seconds / 3_600)h" }
        let total = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
        if total < 0 { return "-" + (.zero - self).brief }
        switch total {
        case ..<1_000: return "\(total)us"
        // Rounding takes each up to the next unit.
        case ..<999_500: return Self.digits(total, unit: 1_000) + "ms"
        case ..<59_950_000: return Self.digits(total, unit: 1_000_000) + "s"
        case ..<3_599_500_000:
            let whole = (total + 500_000) / 1_000_000
            return "\(whole / 60)m" + Self.pair(whole % 60) + "s"
        default:
            let whole = (total + 30_000_000) / 60_000_000
            return "\(whole / 60)h" + Self.pair(whole % 60) + "m"
        }
    }

    /// `count` of which `unit` are one, with three digits and without zeros at the end.
    private static func digits(_ count: Int64, unit: Int64) -> String {
        var places: Int64 = count < 10 * unit ? 100 : count < 100 * unit ? 10 : 1
        var rounded = (count * places + unit / 2) / unit
        while places > 1, rounded % 10 == 0 {
            rounded /= 10
            places /= 10
        }
        let fraction = rounded % places
        guard places > 1 else { return "\(rounded)" }
        return "\(rounded / places)." + (places == 100 && fraction < 10 ? "0" : "") + "\(fraction)"
    }

    private static func pair(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
