package bookspg

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
)

const (
	// mostParts of a search are looked for; what follows is passed over.
	mostParts = 24
	// mostJoins is up to how many chunks neighbours are also looked for as one word.
	mostJoins = 8
	// mostInitials are how many words the index joins to one.
	mostInitials = 4
	// shortestNear is how long a word must be to have near ones: shorter ones have too many.
	shortestNear = 3
	// mostNear bounds the near words of a word; those of the likeliest mistakes come first.
	mostNear = 40
)

// part is a word of a search, or a run of characters that are searched in pairs.
type part struct {
	text  string
	grams bool
}

// chunk is what stands between two spaces of a search.
type chunk []part

// reading is a search as the database's functions read it, and as tsquery.
type reading struct {
	title, key   string // what a title would be that is just this text
	text, author []chunk
	language     string
	void         bool   // text was searched for that has no words
	exact        string // what books match
	inTitle      string // what they match whose title has all of it
	nearOnce     string // with one word replaced; set by near
	halves       map[string][]string
	joined       map[string]bool // what two neighbours make that books have
}

// asks reports that there is something that books can match.
func (r *reading) asks() bool { return !r.void }

const readSearch = `
with t as materialized (select search_title($1) as title, search_key($1) as key)
select p.author, p.chunk, p.part, p.grams, t.title, t.key
from (select false as author, p.* from search_parts(search_fold($1)) p
	union all select true, p.* from search_parts(search_fold($2)) p) p, t`

// read takes a search apart and finds which of its words may be two in a title
// (spiderman, Spider Man).
func read(ctx context.Context, db pg.Querier, f books.Filter) (r *reading, err error) {
	r = &reading{}
	rows, err := db.Query(ctx, readSearch, f.Text, f.Author)
	if err != nil {
		return r, pg.Fault("read the search", err)
	}
	var inAuthor bool
	var n, before, count int
	var p part
	var was bool
	_, err = pgx.ForEachRow(rows, []any{&inAuthor, &n, &p.text, &p.grams, &r.title, &r.key}, func() error {
		if count++; count > mostParts {
			return nil
		}
		into := &r.text
		if inAuthor {
			into = &r.author
		}
		if len(*into) == 0 || n != before || inAuthor != was {
			*into = append(*into, nil)
		}
		last := len(*into) - 1
		(*into)[last] = append((*into)[last], p)
		before, was = n, inAuthor
		return nil
	})
	if err != nil {
		return r, pg.Fault("read the search", err)
	}
	r.void = f.Text != "" && len(r.text) == 0 || f.Author != "" && len(r.author) == 0
	if r.void {
		return r, nil
	}
	r.language = strings.ToLower(f.Language)
	if err := r.split(ctx, db); err != nil {
		return r, err
	}
	r.exact = r.query("", func(string) []string { return nil })
	r.inTitle = r.query("A", func(string) []string { return nil })
	return r, nil
}

// words are the parts that are words.
func (r *reading) words() (all []string) {
	for _, c := range slices.Concat(r.text, r.author) {
		for _, p := range c {
			if !p.grams {
				all = append(all, p.text)
			}
		}
	}
	return all
}

// split finds the words that are made of two which books have, and neighbours
// that make one which they have.
func (r *reading) split(ctx context.Context, db pg.Querier) error {
	var candidates []string
	words := r.words()
	cuts := func(word string, use func(a, b string)) {
		runes := []rune(word)
		for i := 1; i < len(runes); i++ {
			digits := unicode.IsDigit(runes[i-1]) != unicode.IsDigit(runes[i])
			if digits || i >= 3 && len(runes)-i >= 3 {
				use(string(runes[:i]), string(runes[i:]))
			}
		}
	}
	for _, word := range words {
		cuts(word, func(a, b string) { candidates = append(candidates, a, b) })
	}
	for i := 1; i < len(words); i++ {
		candidates = append(candidates, words[i-1]+words[i])
	}
	known, err := vocabulary(ctx, db, candidates)
	r.joined, r.halves = known, map[string][]string{}
	for _, word := range words {
		cuts(word, func(a, b string) {
			number := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
			if (known[a] || number(a)) && (known[b] || number(b)) {
				r.halves[word] = append(r.halves[word], a, b)
			}
		})
	}
	return err
}

// vocabulary tells which of the words books have.
func vocabulary(ctx context.Context, db pg.Querier, words []string) (map[string]bool, error) {
	known := map[string]bool{}
	if len(words) == 0 {
		return known, nil
	}
	rows, err := db.Query(ctx, "select word from search_words where word = any($1::text[])", words)
	if err != nil {
		return known, pg.Fault("look up words", err)
	}
	var word string
	_, err = pgx.ForEachRow(rows, []any{&word}, func() error { known[word] = true; return nil })
	return known, pg.Fault("look up words", err)
}

// query is the tsquery of the search. weight "A" asks for all words of the text
// in the title; near gives words that may stand for one.
func (r *reading) query(weight string, near func(word string) []string) string {
	var all []string
	if len(r.text) > 0 {
		all = append(all, r.chunks(r.text, term{weight: weight, near: near, begun: true}))
	}
	if len(r.author) > 0 {
		all = append(all, r.chunks(r.author, term{scope: "author/", near: near}))
	}
	if r.language != "" {
		all = append(all, quote("language/"+r.language))
	}
	return strings.Join(all, " & ")
}

// term says how words become lexemes.
type term struct {
	scope  string // stands before each
	weight string
	begun  bool // the last word may be unfinished
	near   func(word string) []string
}

func quote(lexeme string) string {
	return "'" + strings.NewReplacer(`'`, `''`, `\`, `\\`).Replace(lexeme) + "'"
}

func (t term) lexeme(word string, last bool) string {
	flags := t.weight
	if last && t.begun {
		flags += "*"
	}
	if flags != "" {
		flags = ":" + flags
	}
	return quote(t.scope+word) + flags
}

// chunks is all of the chunks, or all with two neighbours joined (spider man,
// Spiderman).
func (r *reading) chunks(chunks []chunk, t term) string {
	parts := make([]string, len(chunks))
	for i, c := range chunks {
		parts[i] = r.chunk(c, t, i == len(chunks)-1)
	}
	ways := []string{strings.Join(parts, " & ")}
	for i := 0; i+1 < len(chunks) && len(chunks) <= mostJoins; i++ {
		a, b := chunks[i], chunks[i+1]
		if len(a) == 1 && len(b) == 1 && r.joined[a[0].text+b[0].text] {
			joined := t.lexeme(a[0].text+b[0].text, i+2 == len(chunks))
			ways = append(ways, strings.Join(slices.Concat(parts[:i], []string{joined}, parts[i+2:]), " & "))
		}
	}
	return "(" + strings.Join(ways, " | ") + ")"
}

func (r *reading) chunk(c chunk, t term, last bool) string {
	parts, words := make([]string, len(c)), true
	var joined strings.Builder
	for i, p := range c {
		switch {
		case p.grams:
			parts[i], words = t.pairs(p.text), false
		default:
			parts[i] = r.word(p.text, t, last && i == len(c)-1)
		}
		joined.WriteString(p.text)
	}
	all := strings.Join(parts, " & ")
	if words && len(c) > 1 && len(c) <= 4 {
		all += " | " + t.lexeme(joined.String(), last)
	}
	return "(" + all + ")"
}

func (r *reading) word(word string, t term, last bool) string {
	ways := []string{t.lexeme(word, last)}
	for i := 0; i+1 < len(r.halves[word]) && t.scope == ""; i += 2 {
		first, second := t.lexeme(r.halves[word][i], false), t.lexeme(r.halves[word][i+1], last)
		ways = append(ways, "("+first+" <-> "+second+")")
		if n := utf8.RuneCountInString(r.halves[word][i]); n <= mostInitials { // jrrtolkien: initials that are joined stand where the first does
			ways = append(ways, fmt.Sprintf("(%s <%d> %s)", first, n, second))
		}
	}
	for _, other := range t.near(word) {
		ways = append(ways, t.lexeme(other, false))
	}
	return "(" + strings.Join(ways, " | ") + ")"
}

// pairs is a run of characters: each two of them that are neighbours.
func (t term) pairs(run string) string {
	runes := []rune(run)
	if len(runes) == 1 {
		return t.lexeme(run, false)
	}
	between, all := " <-> ", make([]string, 0, len(runes))
	if t.scope != "" {
		between = " & " // lexemes of a filter have no places
	}
	for i := range len(runes) - 1 {
		all = append(all, term{scope: t.scope, weight: t.weight}.lexeme(string(runes[i:i+2]), false))
	}
	return "(" + strings.Join(all, between) + ")"
}

// near is the tsquery of books that have words like those searched for or, if
// fewer words will do, all but one of three and more. It is "" when there are none, or so many
// that they say nothing. r.nearOnce is set to that with one word replaced.
func (r *reading) near(ctx context.Context, db pg.Querier, fewerDo bool) (string, error) {
	alike := map[string][]string{}
	for _, word := range r.words() {
		found, err := likeWords(ctx, db, word)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			alike[word] = found
		}
	}
	var once, tries []string
	for word, others := range alike {
		once = append(once, "("+r.query("", func(w string) []string {
			if w == word {
				return others
			}
			return nil
		})+")")
	}
	slices.Sort(once)
	r.nearOnce = strings.Join(once, " | ")
	replaced := ""
	if len(alike) > 0 {
		replaced = r.query("", func(w string) []string { return alike[w] })
		tries = []string{replaced}
	}
	if fewer := r.allButOne(); fewerDo && len(fewer) > 0 {
		if replaced != "" {
			fewer = append(fewer, "("+replaced+")")
		}
		tries = append([]string{strings.Join(fewer, " | ")}, tries...)
	}
	for _, words := range tries {
		if tooMany, err := common(ctx, db, words); err != nil || !tooMany {
			return words, err
		}
	}
	return "", nil
}

// allButOne are the tsqueries of the search with one chunk of its text left out.
func (r *reading) allButOne() (all []string) {
	if len(r.text) < 3 || len(r.text) > mostJoins {
		return nil
	}
	for i := range r.text {
		fewer := *r
		fewer.text = slices.Concat(r.text[:i], r.text[i+1:])
		all = append(all, "("+fewer.query("", func(string) []string { return nil })+")")
	}
	return all
}

// alphabets hold the letters that may have been left out or taken for another.
var alphabets = []string{"abcdefghijklmnopqrstuvwxyz", "абвгдежзиклмнопрстуфхцчшщъыьэюя", "αβγδεζηθικλμνξοπρστυφχψω", "אבגדהוזחטיךכלםמןנסעףפץצקרשת", "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"}

const likeSQL = `
select word from search_words
where word % $1 and char_length(word) between $2 - 2 and $2 + 2
order by similarity(word, $1) desc, word limit $3`

// likeWords are the words that books have and that are one letter away from the
// given one: left out, added, taken for another, or swapped with its neighbour.
// For a long word that has none, those are returned that share most trigrams.
func likeWords(ctx context.Context, db pg.Querier, word string) ([]string, error) {
	n := utf8.RuneCountInString(word)
	if n < shortestNear || strings.ContainsFunc(word, unicode.IsDigit) {
		return nil, nil
	}
	possible := variants([]rune(word))
	known, err := vocabulary(ctx, db, possible)
	if err != nil {
		return nil, err
	}
	delete(known, word)
	if len(known) == 0 && n >= 7 {
		rows, err := db.Query(ctx, likeSQL, word, n, mostNear/4)
		if err != nil {
			return nil, pg.Fault("look for like words", err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		return found, pg.Fault("look for like words", err)
	}
	var found []string
	for _, w := range possible {
		if known[w] && len(found) < mostNear {
			found = append(found, w)
			delete(known, w) // letters that repeat lead to it again
		}
	}
	return found, nil
}

// variants are all that a word becomes by one mistake, the likeliest first: letters
// swapped, one left out, one too many, one taken for another.
func variants(word []rune) []string {
	letters := alphabets[0]
	for _, a := range alphabets {
		if strings.ContainsRune(a, word[0]) {
			letters = a
		}
	}
	var swapped, added, removed, replaced []string
	for i := range len(word) + 1 {
		head, tail := string(word[:i]), word[i:]
		if len(tail) > 0 {
			removed = append(removed, head+string(tail[1:]))
		}
		if len(tail) > 1 {
			swapped = append(swapped, head+string(tail[1])+string(tail[0])+string(tail[2:]))
		}
		for _, letter := range letters {
			added = append(added, head+string(letter)+string(tail))
			if len(tail) > 0 {
				replaced = append(replaced, head+string(letter)+string(tail[1:]))
			}
		}
	}
	return slices.Concat(swapped, added, removed, replaced)
}
