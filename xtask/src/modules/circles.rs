//! Cycles in a graph: Tarjan's strongly connected components.

/// Finds the strongly connected components with more than one node.
pub(super) fn find(nodes: usize, arrows: impl Iterator<Item = (usize, usize)>) -> Vec<Vec<usize>> {
    let mut next = vec![Vec::new(); nodes];
    for (from, to) in arrows {
        next[from].push(to);
    }
    let mut search = Search {
        next,
        count: 0,
        number: vec![None; nodes],
        lowest: vec![0; nodes],
        stack: Vec::new(),
        found: Vec::new(),
    };
    for node in 0..nodes {
        if search.number[node].is_none() {
            search.visit(node);
        }
    }
    search.found
}

struct Search {
    next: Vec<Vec<usize>>,
    count: usize,
    /// Order in which the nodes were visited.
    number: Vec<Option<usize>>,
    /// The lowest visit number that is reachable from each node.
    lowest: Vec<usize>,
    stack: Vec<usize>,
    found: Vec<Vec<usize>>,
}

impl Search {
    fn visit(&mut self, node: usize) {
        let number = self.count;
        self.count += 1;
        self.number[node] = Some(number);
        self.lowest[node] = number;
        self.stack.push(node);
        for to in self.next[node].clone() {
            let met = match self.number[to] {
                None => {
                    self.visit(to);
                    self.lowest[to]
                }
                Some(number) if self.stack.contains(&to) => number,
                Some(_) => continue,
            };
            self.lowest[node] = self.lowest[node].min(met);
        }
        if self.lowest[node] == number {
            let start = self.stack.iter().position(|on| *on == node).unwrap_or(0);
            let mut component = self.stack.split_off(start);
            component.sort_unstable();
            if component.len() > 1 {
                self.found.push(component);
            }
        }
    }
}
