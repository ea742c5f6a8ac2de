package coordinator

// record closes attempts in the store, as many in one statement as have come
// together while the statement before was on its way. A row that is not
// closed costs only a repetition, by whoever takes it over.
func (f *finisher) record() {
	defer close(f.recorded)
	for {
		select {
		case first := <-f.finished:
			f.recordAll(f.collect(first))
		case <-f.nothing:
			for {
				select {
				case first := <-f.finished:
					f.recordAll(f.collect(first))
				default:
					return
				}
			}
		}
	}
}

// collect takes what else is waiting to be recorded.
func (f *finisher) collect(first Finished) []Finished {
	const most = 256
	batch := []Finished{first}
	for len(batch) < most {
		select {
		case next := <-f.finished:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

func (f *finisher) recordAll(batch []Finished) {
	for tries := 1; ; tries++ {
		err := f.store.Finish(f.alive, batch)
		if err == nil {
			break
		}
		f.log.Warn("finished transactions not recorded", "count", len(batch), "tries", tries, "error", err)
		if !pause(f.alive, backoff(tries)) {
			return
		}
	}
	for _, done := range batch {
		f.leases.drop(done.GID)
	}
}
