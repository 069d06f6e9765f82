//! What a cost is made of: least squares whose coefficients are not negative.

/// What was measured: the amounts that it is made of, and its cost, which is above zero.
pub(super) struct Sample {
    pub(super) amounts: Vec<f64>,
    pub(super) cost: f64,
}

/// What each amount costs, so that the relative errors' squares are the least: a small measurement counts as a large one
/// does. None is negative, as no work gives time back; what cannot be told from noise comes out as 0.
///
/// All subsets of the few amounts are tried (Lawson and Hanson 1974 find it faster for many).
pub(super) fn fit(samples: &[Sample]) -> Vec<f64> {
    let amounts = samples.first().map_or(0, |sample| sample.amounts.len());
    let subsets = 1_usize..1 << amounts;
    let candidates = subsets.filter_map(|subset| {
        let used: Vec<usize> = (0..amounts).filter(|amount| subset >> amount & 1 == 1).collect();
        let solved = solve_for(samples, &used)?;
        let mut each = vec![0.0; amounts];
        used.iter().zip(&solved).for_each(|(amount, solved)| each[*amount] = *solved);
        solved.iter().all(|each| *each >= 0.0).then_some(each)
    });
    let best = candidates.min_by(|one, other| error(samples, one).total_cmp(&error(samples, other)));
    best.unwrap_or_else(|| vec![0.0; amounts])
}

/// What the amounts cost together.
pub(super) fn cost(amounts: &[f64], each: &[f64]) -> f64 {
    amounts.iter().zip(each).map(|(amount, each)| amount * each).sum()
}

/// How far off the cost is, as a share of what was measured.
pub(super) fn residual(sample: &Sample, each: &[f64]) -> f64 {
    cost(&sample.amounts, each) / sample.cost - 1.0
}

fn error(samples: &[Sample], each: &[f64]) -> f64 {
    samples.iter().map(|sample| residual(sample, each).powi(2)).sum()
}

/// The normal equations of some amounts, solved; none when they do not tell the amounts apart.
fn solve_for(samples: &[Sample], used: &[usize]) -> Option<Vec<f64>> {
    let rows: Vec<Vec<f64>> = samples
        .iter()
        .map(|sample| used.iter().map(|amount| sample.amounts[*amount] / sample.cost).collect())
        .collect();
    // Columns of like size, so that a pivot tells whether it is one.
    let scales: Vec<f64> = (0..used.len())
        .map(|column| rows.iter().map(|row| row[column].powi(2)).sum::<f64>().sqrt())
        .collect();
    if scales.iter().any(|scale| *scale <= 0.0) {
        return None;
    }
    let scaled = |row: &[f64], column: usize| row[column] / scales[column];
    let mut equations: Vec<Vec<f64>> = (0..used.len())
        .map(|line| {
            let product =
                |column: usize| rows.iter().map(|row| scaled(row, line) * scaled(row, column)).sum();
            let right = rows.iter().map(|row| scaled(row, line)).sum();
            (0..used.len()).map(product).chain([right]).collect()
        })
        .collect();
    let solved = eliminate(&mut equations)?;
    Some(solved.iter().zip(&scales).map(|(solved, scale)| solved / scale).collect())
}

/// Gauss and Jordan, with the largest pivot.
fn eliminate(equations: &mut [Vec<f64>]) -> Option<Vec<f64>> {
    let size = equations.len();
    for pivot in 0..size {
        let best = (pivot..size)
            .max_by(|one, other| equations[*one][pivot].abs().total_cmp(&equations[*other][pivot].abs()))?;
        if equations[best][pivot].abs() < 1e-9 {
            return None;
        }
        equations.swap(pivot, best);
        let row: Vec<f64> = equations[pivot].iter().map(|value| value / equations[pivot][pivot]).collect();
        for (line, equation) in equations.iter_mut().enumerate() {
            if line != pivot {
                let times = equation[pivot];
                equation.iter_mut().zip(&row).for_each(|(value, of)| *value -= times * of);
            }
        }
        equations[pivot] = row;
    }
    Some(equations.iter().map(|equation| equation[size]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(made_of: &[f64], amounts: &[&[f64]]) -> Vec<Sample> {
        let sample = |amounts: &&[f64]| Sample { amounts: amounts.to_vec(), cost: cost(amounts, made_of) };
        amounts.iter().map(sample).collect()
    }

    fn assert_near(found: &[f64], wanted: &[f64]) {
        assert_eq!(found.len(), wanted.len());
        let near = found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-6);
        assert!(near, "{found:?} instead of {wanted:?}");
    }

    #[test]
    fn what_a_cost_was_made_of_is_found_again() {
        let wanted = [0.9, 0.0, 0.02, 1e-6];
        let amounts: [&[f64]; 5] = [
            &[2.0, 40.0, 30.0, 900.0],
            &[2.0, 1.0, 2000.0, 4e6],
            &[8.0, 5.0, 30.0, 900.0],
            &[1.0, 9.0, 500.0, 25e4],
            &[3.0, 7.0, 100.0, 1e4],
        ];
        assert_near(&fit(&samples(&wanted, &amounts)), &wanted);
    }

    #[test]
    fn nothing_costs_less_than_nothing() {
        // What grows with the second falls with it: the best line without a sign would be negative.
        let samples = [(1.0, 0.0, 10.0), (1.0, 1.0, 9.0), (1.0, 2.0, 8.0)]
            .map(|(one, other, cost)| Sample { amounts: vec![one, other], cost });
        let found = fit(&samples);
        assert_eq!(found[1], 0.0);
        assert!((8.0..9.0).contains(&found[0]), "{found:?}");
    }

    #[test]
    fn small_measurements_count_as_large_ones_do() {
        // Twice the cost each, one of them a thousand times as large: both are missed by the same share.
        let samples =
            [(1.0, 1.0), (1_000.0, 2_000.0)].map(|(amount, cost)| Sample { amounts: vec![amount], cost });
        let found = fit(&samples);
        assert_near(&found, &[1.2]);
        assert_near(&[residual(&samples[0], &found), residual(&samples[1], &found)], &[0.2, -0.4]);
    }

    #[test]
    fn amounts_that_always_go_together_are_one() {
        let samples = samples(&[1.0, 1.0], &[&[1.0, 2.0], &[2.0, 4.0], &[3.0, 6.0]]);
        let found = fit(&samples);
        assert_near(&[cost(&samples[2].amounts, &found)], &[9.0]);
        assert!(found.contains(&0.0), "{found:?}");
    }
}
