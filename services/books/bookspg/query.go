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
	// maxTerms of a search are used; those after them are ignored.
	maxTerms = 24
	// maxJoinedGroups is the number of groups up to which neighbours are also searched as one word.
	maxJoinedGroups = 8
	// maxInitials is how many words of a group the index also has as one (search_terms in the migrations).
	maxInitials = 4
	// minSimilarLength is the length of the shortest word for which similar words are searched: shorter ones have too many.
	minSimilarLength = 3
	// minTrigramLength is the same for words that share trigrams.
	minTrigramLength = 7
	// maxSimilar bounds the similar words of a word. Those of the likeliest mistakes are kept.
	maxSimilar = 40
)

// term is a word, or a run of characters of a script without spaces, which is searched by its bigrams.
type term struct {
	text    string
	bigrams bool
}

// group is what a search has between two spaces: one term, or several that punctuation joins (catch-22).
type group []term

// search is a search as the database's functions parse it, and its tsqueries.
type search struct {
	title, key   string // search_title and search_key of the text: those of a title that equals it
	text, author []group
	language     string
	empty        bool   // the text or the author has no term: nothing matches
	exact        string // the tsquery of exact matches
	inTitle      string // the tsquery of books whose title has all of the text
	oneReplaced  string // the tsquery with one word replaced by similar ones; set by nearQuery
	splits       map[string][]string
	joins        map[string]bool // words that two neighbours make and that books have
}

const selectTerms = `
with t as materialized (select search_title($1) as title, search_key($1) as key)
select p.author, p.chunk, p.part, p.grams, t.title, t.key
from (select false as author, p.* from search_parts(search_fold($1)) p
	union all select true, p.* from search_parts(search_fold($2)) p) p, t`

// parseSearch parses a filter and makes the tsqueries of its exact matches.
func parseSearch(ctx context.Context, db pg.Querier, f books.Filter) (s *search, err error) {
	s = &search{}
	rows, err := db.Query(ctx, selectTerms, f.Text, f.Author)
	if err != nil {
		return s, pg.Fault("parse the search", err)
	}
	var inAuthor, wasAuthor bool
	var n, before, count int
	var t term
	_, err = pgx.ForEachRow(rows, []any{&inAuthor, &n, &t.text, &t.bigrams, &s.title, &s.key}, func() error {
		if count++; count > maxTerms {
			return nil
		}
		groups := &s.text
		if inAuthor {
			groups = &s.author
		}
		if len(*groups) == 0 || n != before || inAuthor != wasAuthor {
			*groups = append(*groups, nil)
		}
		last := len(*groups) - 1
		(*groups)[last] = append((*groups)[last], t)
		before, wasAuthor = n, inAuthor
		return nil
	})
	if err != nil {
		return s, pg.Fault("parse the search", err)
	}
	s.empty = f.Text != "" && len(s.text) == 0 || f.Author != "" && len(s.author) == 0
	if s.empty {
		return s, nil
	}
	s.language = strings.ToLower(f.Language)
	if err := s.findCompounds(ctx, db); err != nil {
		return s, err
	}
	s.exact, s.inTitle = s.query("", nil), s.query("A", nil)
	return s, nil
}

// words are the terms that are words.
func (s *search) words() (all []string) {
	for _, g := range slices.Concat(s.text, s.author) {
		for _, t := range g {
			if !t.bigrams {
				all = append(all, t.text)
			}
		}
	}
	return all
}

// findCompounds sets splits and joins: the words that are made of two which books have (spiderman), and the neighbours that make
// one which books have (spider man).
func (s *search) findCompounds(ctx context.Context, db pg.Querier) error {
	var candidates []string
	words := s.words()
	eachSplit := func(word string, use func(a, b string)) {
		runes := []rune(word)
		for i := 1; i < len(runes); i++ {
			digits := unicode.IsDigit(runes[i-1]) != unicode.IsDigit(runes[i])
			if digits || i >= 3 && len(runes)-i >= 3 {
				use(string(runes[:i]), string(runes[i:]))
			}
		}
	}
	for _, word := range words {
		eachSplit(word, func(a, b string) { candidates = append(candidates, a, b) })
	}
	for i := 1; i < len(words); i++ {
		candidates = append(candidates, words[i-1]+words[i])
	}
	known, err := knownWords(ctx, db, candidates)
	s.joins, s.splits = known, map[string][]string{}
	for _, word := range words {
		eachSplit(word, func(a, b string) {
			number := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
			if (known[a] || number(a)) && (known[b] || number(b)) {
				s.splits[word] = append(s.splits[word], a, b)
			}
		})
	}
	return err
}

// knownWords returns those of the words that books have or had.
func knownWords(ctx context.Context, db pg.Querier, words []string) (map[string]bool, error) {
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

// query is a tsquery of the search. With weight "A" the title must have all words of the text. similar, when not nil, has the
// words that may replace one.
func (s *search) query(weight string, similar map[string][]string) string {
	var all []string
	if len(s.text) > 0 {
		all = append(all, s.groupsQuery(s.text, lexemes{weight: weight, similar: similar, prefix: true}))
	}
	if len(s.author) > 0 {
		all = append(all, s.groupsQuery(s.author, lexemes{scope: "author/", similar: similar}))
	}
	if s.language != "" {
		all = append(all, quote("language/"+s.language))
	}
	return strings.Join(all, " & ")
}

// lexemes makes the lexemes of a tsquery.
type lexemes struct {
	scope   string // a prefix of each; "" or "author/"
	weight  string
	prefix  bool // the last word matches words that begin with it
	similar map[string][]string
}

func quote(lexeme string) string {
	return "'" + strings.NewReplacer(`'`, `''`, `\`, `\\`).Replace(lexeme) + "'"
}

func (l lexemes) lexeme(word string, last bool) string {
	flags := l.weight
	if last && l.prefix {
		flags += "*"
	}
	if flags != "" {
		flags = ":" + flags
	}
	return quote(l.scope+word) + flags
}

// groupsQuery matches all groups, or all with two neighbours joined (spider man, Spiderman).
func (s *search) groupsQuery(groups []group, l lexemes) string {
	all := make([]string, len(groups))
	for i, g := range groups {
		all[i] = s.groupQuery(g, l, i == len(groups)-1)
	}
	alternatives := []string{strings.Join(all, " & ")}
	for i := 0; i+1 < len(groups) && len(groups) <= maxJoinedGroups; i++ {
		a, b := groups[i], groups[i+1]
		if len(a) == 1 && len(b) == 1 && s.joins[a[0].text+b[0].text] {
			joined := l.lexeme(a[0].text+b[0].text, i+2 == len(groups))
			alternatives = append(alternatives, strings.Join(slices.Concat(all[:i], []string{joined}, all[i+2:]), " & "))
		}
	}
	return "(" + strings.Join(alternatives, " | ") + ")"
}

// groupQuery matches all terms of a group or, if all are words, the word that they make when they are joined.
func (s *search) groupQuery(g group, l lexemes, last bool) string {
	terms, words := make([]string, len(g)), true
	var joined strings.Builder
	for i, term := range g {
		if term.bigrams {
			terms[i], words = l.bigramsQuery(term.text), false
		} else {
			terms[i] = s.wordQuery(term.text, l, last && i == len(g)-1)
		}
		joined.WriteString(term.text)
	}
	all := strings.Join(terms, " & ")
	if words && len(g) > 1 && len(g) <= maxInitials {
		all += " | " + l.lexeme(joined.String(), last)
	}
	return "(" + all + ")"
}

// wordQuery matches a word, the two words that it is made of, or a similar one.
func (s *search) wordQuery(word string, l lexemes, last bool) string {
	alternatives := []string{l.lexeme(word, last)}
	for i := 0; i+1 < len(s.splits[word]) && l.scope == ""; i += 2 {
		first, second := l.lexeme(s.splits[word][i], false), l.lexeme(s.splits[word][i+1], last)
		alternatives = append(alternatives, "("+first+" <-> "+second+")")
		// In the index, initials that are joined have the place of the first one: jrr of "J.R.R. Tolkien" is three before tolkien.
		if n := utf8.RuneCountInString(s.splits[word][i]); n <= maxInitials {
			alternatives = append(alternatives, fmt.Sprintf("(%s <%d> %s)", first, n, second))
		}
	}
	for _, other := range l.similar[word] {
		alternatives = append(alternatives, l.lexeme(other, false))
	}
	return "(" + strings.Join(alternatives, " | ") + ")"
}

// bigramsQuery matches a run of characters by its bigrams, one behind the other.
func (l lexemes) bigramsQuery(run string) string {
	runes := []rune(run)
	if len(runes) == 1 {
		return l.lexeme(run, false)
	}
	between, all := " <-> ", make([]string, 0, len(runes))
	if l.scope != "" {
		between = " & " // lexemes with a scope have no places in the index
	}
	for i := range len(runes) - 1 {
		all = append(all, lexemes{scope: l.scope, weight: l.weight}.lexeme(string(runes[i:i+2]), false))
	}
	return "(" + strings.Join(all, between) + ")"
}

// nearQuery is the tsquery of near matches: books that have similar words or, with fewer, all groups of the text but one. It is ""
// when there are none, or too many to be of use. It sets s.oneReplaced.
func (s *search) nearQuery(ctx context.Context, db pg.Querier, fewer bool) (string, error) {
	similar := map[string][]string{}
	for _, word := range s.words() {
		found, err := similarWords(ctx, db, word)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			similar[word] = found
		}
	}
	var once, candidates []string
	for word, others := range similar {
		once = append(once, "("+s.query("", map[string][]string{word: others})+")")
	}
	slices.Sort(once)
	s.oneReplaced = strings.Join(once, " | ")
	replaced := ""
	if len(similar) > 0 {
		replaced = s.query("", similar)
		candidates = []string{replaced}
	}
	if all := s.allButOne(); fewer && len(all) > 0 {
		if replaced != "" {
			all = append(all, "("+replaced+")")
		}
		candidates = append([]string{strings.Join(all, " | ")}, candidates...)
	}
	for _, words := range candidates {
		if common, err := tooCommon(ctx, db, words); err != nil || !common {
			return words, err
		}
	}
	return "", nil
}

// allButOne are the tsqueries of the search without one group of its text.
func (s *search) allButOne() (all []string) {
	if len(s.text) < 3 || len(s.text) > maxJoinedGroups {
		return nil
	}
	for i := range s.text {
		fewer := *s
		fewer.text = slices.Concat(s.text[:i], s.text[i+1:])
		all = append(all, "("+fewer.query("", nil)+")")
	}
	return all
}

const selectSimilar = `
select word from search_words
where word % $1 and char_length(word) between $2 - 2 and $2 + 2
order by similarity(word, $1) desc, word limit $3`

// similarWords are the words that books have and that are one edit away from the given one: a letter missing, added, replaced, or
// swapped with its neighbour. For a long word without any, they are those that share the most trigrams.
func similarWords(ctx context.Context, db pg.Querier, word string) ([]string, error) {
	n := utf8.RuneCountInString(word)
	if n < minSimilarLength || strings.ContainsFunc(word, unicode.IsDigit) {
		return nil, nil
	}
	candidates := oneEditAway([]rune(word))
	known, err := knownWords(ctx, db, candidates)
	if err != nil {
		return nil, err
	}
	delete(known, word)
	if len(known) == 0 && n >= minTrigramLength {
		rows, err := db.Query(ctx, selectSimilar, word, n, maxSimilar/4)
		if err != nil {
			return nil, pg.Fault("find similar words", err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		return found, pg.Fault("find similar words", err)
	}
	var found []string
	for _, w := range candidates {
		if known[w] && len(found) < maxSimilar {
			found = append(found, w)
			delete(known, w) // a candidate may be there twice
		}
	}
	return found, nil
}

// alphabets have the letters that a mistake may add or take for another.
var alphabets = []string{"abcdefghijklmnopqrstuvwxyz", "абвгдежзиклмнопрстуфхцчшщъыьэюя", "αβγδεζηθικλμνξοπρστυφχψω", "אבגדהוזחטיךכלםמןנסעףפץצקרשת", "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"}

// oneEditAway are the words that one mistake makes of a word, the likeliest mistake first: letters swapped, one missing, one added,
// one replaced.
func oneEditAway(word []rune) []string {
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
